use std::collections::BTreeMap;

use super::*;

crate::choice! {
    /// How the body is packed.
    pub enum Encoding {
        Identity = "identity",
        Gzip = "gzip",
    }
}

crate::config! {
    pub struct Tls {
        /// The file of the certificate authority.
        pub tls_ca: String = String::new(),
        pub insecure_skip_verify: bool = false,
    }
    refused {
        "ssl_ca" = "it is called `tls_ca` now",
    }
}

crate::config! {
    /// One rule.
    #[derive(PartialEq)]
    pub struct Rule {
        /// What to look for.
        pub pattern: String = String::new(),
        pub groups: Vec<u8> = vec![1, 2],
    }
}

crate::config! {
    /// Looks at everything.
    ///
    /// In two paragraphs.
    pub struct Everything {
        /// Report one point for each CPU.
        pub percpu: bool = true,
        /// Interfaces to report, as globs; empty for all.
        #[alias("ifaces", "nics")]
        pub interfaces: Vec<String> = Vec::new(),
        /// How long to wait.
        /// Not longer.
        pub timeout: Duration = Duration::from_secs(5),
        pub limit: Size = Size::mib(64),
        pub r#type: String = "plain".into(),
        pub password: Option<Secret> = None,
        pub ratio: f64 = 0.5,
        pub count: u8 = 3,
        pub separator: char = ',',
        pub encoding: Encoding = Encoding::Gzip,
        pub labels: BTreeMap<String, String> = BTreeMap::new(),
        pub extra: Option<toml::Value> = None,
        /// The rules, in order.
        pub rule: Vec<Rule> = Vec::new(),
        /// The only rule.
        pub single: Rule = Rule::default(),
        pub named: BTreeMap<String, Rule> = BTreeMap::new(),
        #[flatten]
        pub tls: Tls = Tls::default(),
    }
    refused {
        "ignore_protocol_stats" = "it has no effect in any version; remove it",
    }
}

crate::config! {
    struct Nothing {}
}

#[test]
fn defaults_hold_for_an_empty_text() {
    let config: Everything = parse("").unwrap();
    assert!(config.percpu);
    assert_eq!(config.timeout, Duration::from_secs(5));
    assert_eq!(config.limit.get(), 64 << 20);
    assert_eq!(config.encoding, Encoding::Gzip);
    assert!(config.password.is_none());
    parse::<Nothing>("").unwrap();
    assert!(Nothing::fields().is_empty());
}

#[test]
fn every_kind_is_read() {
    let config: Everything = parse(
        r#"
        percpu = false
        nics = ["eth*"]
        timeout = 2.5
        limit = "1 KiB"
        type = "other"
        password = "hunter2"
        ratio = 1
        count = 255
        separator = ";"
        encoding = "identity"
        labels = { a = "b" }
        extra = [1, { x = 2 }]
        tls_ca = "/ca.pem"
        [[rule]]
        pattern = "one"
        [[rule]]
        groups = []
        [single]
        pattern = "s"
        [named.x]
        pattern = "n"
        "#,
    )
    .unwrap();
    assert!(!config.percpu);
    assert_eq!(config.interfaces, ["eth*"]);
    assert_eq!(config.timeout, Duration::from_millis(2500));
    assert_eq!(config.limit, Size::kib(1));
    assert_eq!(config.r#type, "other");
    assert_eq!(config.password.as_ref().unwrap().expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!((config.ratio, config.count, config.separator), (1.0, 255, ';'));
    assert_eq!(config.encoding.word(), "identity");
    assert_eq!(config.labels["a"], "b");
    assert_eq!(config.extra.unwrap()[1]["x"].as_integer(), Some(2));
    assert_eq!(config.tls.tls_ca, "/ca.pem");
    assert_eq!(config.rule[0], Rule { pattern: "one".into(), groups: vec![1, 2] });
    assert_eq!(config.rule[1].groups, []);
    assert_eq!(config.single.pattern, "s");
    assert_eq!(config.named["x"].pattern, "n");
}

#[test]
fn errors_have_place_key_and_remedy() {
    let check = |text: &str, blamed: &str, key: &str, part: &str| {
        let error = parse::<Everything>(text).unwrap_err();
        assert_eq!(error.span.clone().map(|span| &text[span]), Some(blamed), "{text}: {error:?}");
        assert_eq!(error.key.as_deref(), Some(key), "{text}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    };
    check("a = 1\nb = 2", "a", "a", "unknown key `a`");
    check("percpuu = true", "percpuu", "percpuu", "did you mean `percpu`?");
    check("ifaced = []", "ifaced", "ifaced", "did you mean `ifaces`?");
    check("tls_cb = ''", "tls_cb", "tls_cb", "did you mean `tls_ca`?");
    check(
        "ignore_protocol_stats = 1",
        "ignore_protocol_stats",
        "ignore_protocol_stats",
        "no effect in any version",
    );
    check("ssl_ca = ''", "ssl_ca", "ssl_ca", "it is called `tls_ca` now");
    check("percpu = 1", "1", "percpu", "`percpu` takes true or false, not the integer 1");
    check("timeout = 'soon'", "'soon'", "timeout", "\"soon\" is not a duration");
    check("limit = '1XB'", "'1XB'", "limit", "unknown unit");
    check("limit = 1.5", "1.5", "limit", "takes a size");
    check("count = 256", "256", "count", "256");
    check("count = -1", "-1", "count", "-1");
    check("separator = 'ab'", "'ab'", "separator", "ab");
    check(
        "encoding = 'gzipp'",
        "'gzipp'",
        "encoding",
        "takes \"identity\" or \"gzip\", not the string \"gzipp\"",
    );
    check("labels.a = 3", "3", "labels.a", "takes a string");
    check("interfaces = 'eth0'", "'eth0'", "interfaces", "takes a list, each item a string");
    check("interfaces = ['a', 3]", "3", "interfaces", "takes a string, not the integer 3");
    check("rule = { pattern = 'x' }", "{ pattern = 'x' }", "rule", "takes a list of tables");
    check("[[rule]]\n[[rule]]\npatern = ''", "patern", "rule.patern", "did you mean `pattern`?");
    check("[[rule]]\ngroups = [1, 300]", "300", "rule.groups", "300");
    check("[named.x]\ny = 1", "y", "named.x.y", "unknown key `y`");
    check(
        "nics = []\ninterfaces = []",
        "interfaces",
        "interfaces",
        "`nics` and `interfaces` are names of the same key",
    );
    check(
        "password = 12345",
        "12345",
        "password",
        "takes a string (a secret), not a value of the kind integer",
    );
    assert!(!parse::<Everything>("password = 12345").unwrap_err().message.contains("12345"));
    assert!(parse::<Nothing>("x = 1").unwrap_err().message.contains("unknown key `x`"));
}

#[test]
fn toml_errors_have_a_place() {
    let error = parse::<Everything>("percpu = \n").unwrap_err();
    assert!(error.span.is_some(), "{error:?}");
    let text = "percpu = true\npercpu = false";
    let error = parse::<Everything>(text).unwrap_err();
    assert_eq!(error.span.map(|span| span.start), Some(14));
}

#[test]
fn all_errors_are_found_at_once() {
    let text = "bogus = 1\npercpu = 'x'\n[[rule]]\nfoo = 1\n[[rule]]\nbar = 2";
    let table = DeTable::parse(text).unwrap();
    let errors = check(table.get_ref(), &Everything::schema());
    let keys: Vec<_> = errors.iter().map(|error| error.key.as_deref().unwrap()).collect();
    assert_eq!(keys, ["bogus", "percpu", "rule.foo", "rule.bar"]);
}

#[test]
fn an_author_can_blame_a_key() {
    let text = "[[rule]]\npattern = 'a'\n[[rule]]\npattern = '('\n";
    let error = ConfigError::at(text, "rule.1.pattern", "the pattern is bad");
    assert_eq!(&text[error.span.unwrap()], "'('");
    assert_eq!(ConfigError::at("a = 1", "b", "missing").span, None);
    assert_eq!(ConfigError::new("no").span, None);
}

#[test]
fn serde_alone_refuses_unknown_keys_too() {
    let error = toml::from_str::<Everything>("percpuu = true").unwrap_err();
    assert!(error.message().contains("did you mean `percpu`?"), "{error}");
    assert!(error.span().is_some());
}

#[test]
fn the_schema_reads_back() {
    let text = schema_text::<Everything>();
    let schema = TableSchema::from_text(&text).unwrap();
    assert_eq!(schema, Everything::schema());
    assert_eq!(schema.doc, "Looks at everything.\n\nIn two paragraphs.");
    let field = |key: &str| schema.field(key).unwrap();
    assert_eq!(field("percpu").default.as_deref(), Some("true"));
    assert_eq!(field("nics").key, "interfaces");
    assert_eq!(field("timeout").doc, "How long to wait.\nNot longer.");
    assert_eq!(field("timeout").default.as_deref(), Some("\"5s\""));
    assert_eq!(field("limit").default.as_deref(), Some("\"64MiB\""));
    assert_eq!(field("type").kind, Kind::String);
    assert_eq!(field("password").kind, Kind::Secret);
    assert_eq!(field("password").default, None);
    assert_eq!(field("encoding").choices, ["identity", "gzip"]);
    assert_eq!(field("labels").kind, Kind::Map(Box::new(Kind::String)));
    assert_eq!(field("extra").kind, Kind::Any);
    assert_eq!(field("rule").kind, Kind::List(Box::new(Kind::Table)));
    assert_eq!(
        field("rule").table.as_ref().unwrap().field("groups").unwrap().default.as_deref(),
        Some("[1, 2]")
    );
    assert_eq!(field("tls_ca").doc, "The file of the certificate authority.");
    assert!(schema.field("tls").is_none());
    assert_eq!(schema.refusal("ssl_ca"), Some("it is called `tls_ca` now"));
    assert!(schema_text::<Nothing>().len() < 20);
}

#[test]
fn the_sample_is_a_config_of_defaults() {
    let sample = sample_text::<Everything>("inputs", "everything");
    assert!(
        sample.starts_with(
            "# Looks at everything.\n#\n# In two paragraphs.\n[[inputs.everything]]\n"
        ),
        "{sample}"
    );
    assert!(
        sample.contains("  ## Report one point for each CPU.\n  # percpu = true\n"),
        "{sample}"
    );
    assert!(
        sample.contains("  ## One of \"identity\", \"gzip\".\n  # encoding = \"gzip\"\n"),
        "{sample}"
    );
    let table: toml::Table = sample.parse().unwrap();
    let as_written = &table["inputs"]["everything"][0];
    assert!(as_written.as_table().unwrap().is_empty());

    let uncommented: String = sample
        .lines()
        .skip_while(|line| !line.starts_with("[["))
        .skip(1)
        .map(|line| line.trim_start())
        .filter_map(|line| line.strip_prefix("# "))
        .map(|line| format!("{}\n", line.replace("inputs.everything.", "")))
        .collect();
    let config: Everything =
        parse(&uncommented).unwrap_or_else(|error| panic!("{error}\n{uncommented}"));
    assert_eq!(config.rule, [Rule::default()]);
    assert_eq!(config.timeout, Duration::from_secs(5));
}

#[test]
fn any_text_is_read_or_refused() {
    const PIECES: [&str; 24] = [
        "percpu", "rule", "named", "timeout", "=", " = ", "[", "]", "[[", "]]", "{", "}", "\n",
        "\"", "'", "1h", "-1", ".", ",", "true", "ä", "#", "\\", "1e400",
    ];
    let mut seed = 5u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..(seed >> 40) % 20 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text.push_str(PIECES[(seed >> 33) as usize % PIECES.len()]);
        }
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        if let Err(error) = parse::<Everything>(&text)
            && let Some(span) = error.span
        {
            assert!(text.get(span.clone()).is_some(), "{text:?} {span:?}");
        }
    }
}
