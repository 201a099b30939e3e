use headwater_plugin_api::config::Duration;

use super::testing::{Folder, Plugins, Vars};
use super::*;

const VARS: Vars = Vars(&[("HOST", "h1"), ("COUNT", "3"), ("QUOTED", "a\"b"), ("EMPTY", "")]);

/// Loads files `0.toml`, `1.toml` and so on; what is said has their folder cut off.
fn load_with(texts: &[&str], options: LoadOptions) -> (Option<Plan>, Vec<String>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let folder = Folder::new(&format!("load-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    for (index, text) in texts.iter().enumerate() {
        folder.write(&format!("{index}.toml"), text);
    }
    let options = LoadOptions { files: vec![folder.path().into()], ..options };
    let (plan, said) = load(&options, &VARS, &Plugins);
    let prefix = format!("{}/", folder.path().display());
    (plan, said.iter().map(|diagnostic| diagnostic.to_string().replace(&prefix, "")).collect())
}

fn load_texts(texts: &[&str]) -> (Option<Plan>, Vec<String>) {
    load_with(texts, LoadOptions::default())
}

/// A plan without a word said against it.
fn plan(texts: &[&str]) -> Plan {
    let (plan, said) = load_texts(texts);
    assert!(said.is_empty(), "{said:#?}");
    plan.unwrap()
}

fn labels<O>(plugins: &[Plugin<O>]) -> Vec<String> {
    let label = |plugin: &Plugin<O>| {
        let alias = plugin.common.alias.as_ref().map(|alias| format!("::{alias}"));
        format!("{}.{}{}", plugin.kind.section(), plugin.name, alias.unwrap_or_default())
    };
    plugins.iter().map(label).collect()
}

#[test]
fn a_whole_configuration() {
    let plan = plan(&[
        r#"
[global_tags]
dc = "eu-1"
rack = "${RACK:-r1}"

[agent]
  interval = "5s"
  flush_interval = "20s"
  collection_jitter = "1s"
  metric_batch_size = 500

[[inputs.cpu]]
  alias = "main"
  interval = 2
  percpu = false
  name_prefix = "x_"
  namepass = ["cpu*"]
  fieldpass = ["usage_*"]
  [inputs.cpu.tags]
    owner = "me"
  [inputs.cpu.tagpass]
    cpu = ["cpu0"]

[[inputs.tail]]
  files = ["/a", "/b"]
  data_format = "json"
  json_query = "x.y"
  [inputs.tail.json_map]
    a = 1

[[processors.regex]]
  order = 2
  [[processors.regex.tags]]
    key = "k"
    pattern = '^\d+$'

[[processors.regex]]
  alias = "first"

[[aggregators.basicstats]]
  period = "1d"
  drop_original = true
  stats = ["mean"]

[[outputs.file]]
  files = ["stdout"]
  metric_batch_size = 9
  startup_error_behavior = "retry"
"#,
        "[global_tags]\nrack = 'r2'\n[agent]\nFlushInterval = '30s'\n[[inputs.mem]]\nprecision = '1ms'",
    ]);
    assert_eq!(plan.agent.interval, Duration::from_secs(5));
    assert_eq!(
        plan.global_tags.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        ["dc=eu-1", "rack=r2"]
    );
    assert_eq!(labels(&plan.inputs), ["inputs.cpu::main", "inputs.tail", "inputs.mem"]);
    assert_eq!(labels(&plan.processors), ["processors.regex::first", "processors.regex"]);

    let cpu = &plan.inputs[0];
    assert_eq!(cpu.config.text, "percpu = false\n");
    assert_eq!(cpu.options.interval, Duration::from_secs(2));
    assert_eq!(cpu.options.collection_jitter, Duration::from_secs(1));
    assert_eq!(cpu.options.naming.apply("cpu"), "x_cpu");
    assert_eq!(cpu.options.tags["owner"], "me");
    assert!(cpu.common.selectors.select("cpu", [("cpu", "cpu0")].into_iter()));
    assert!(!cpu.common.selectors.select("cpu", [("cpu", "cpu1")].into_iter()));
    assert!(!cpu.common.modifiers.keeps_field("time_user"));
    assert!(cpu.format.is_none());
    assert_eq!(cpu.options.polled_precision(&plan.agent), Duration::from_secs(1));

    let tail = &plan.inputs[1];
    assert_eq!(tail.options.interval, Duration::from_secs(5));
    assert_eq!(tail.config.text, "files = [\"/a\", \"/b\"]\n");
    let format = tail.format.as_ref().unwrap();
    assert_eq!(format.name, "json");
    assert_eq!(format.config.text, "json_query = \"x.y\"\njson_map = { a = 1 }\n");
    assert_eq!(plan.inputs[2].options.polled_precision(&plan.agent), Duration::from_millis(1));

    assert_eq!(plan.processors[1].config.text, "tags = [{ key = \"k\", pattern = '^\\d+$' }]\n");
    let aggregator = &plan.aggregators[0].options;
    assert!(aggregator.drop_original);

    let output = &plan.outputs[0];
    assert_eq!(
        output.options.flush_interval,
        Duration::from_secs(30),
        "later files set it for earlier plugins"
    );
    assert_eq!((output.options.metric_batch_size, output.options.metric_buffer_limit), (9, 10_000));
    assert_eq!(output.common.startup_error, StartupError::Retry);
    assert_eq!(output.format.as_ref().unwrap().name, "influx");
}

#[test]
fn older_forms_of_tables() {
    let plan = plan(&[
        "[tags]\na = 'b'\n[cpu]\npercpu = false\n[plugins.mem]\n[inputs.tail]\n[outputs.file]\n[[inputs.cpu]]",
    ]);
    assert_eq!(plan.global_tags["a"], "b");
    assert_eq!(labels(&plan.inputs), ["inputs.cpu", "inputs.mem", "inputs.tail", "inputs.cpu"]);
    assert_eq!(plan.inputs[0].config.text, "percpu = false\n");
    assert_eq!(labels(&plan.outputs), ["outputs.file"]);
}

#[test]
fn processors_keep_the_order_of_files() {
    let plan = plan(&[
        "[[processors.regex]]\nalias = 'a'\n[[processors.regex]]\nalias = 'b'\norder = -1",
        "[[processors.regex]]\nalias = 'c'\n[[processors.regex]]\nalias = 'd'\norder = -1",
    ]);
    let aliases: Vec<_> = plan
        .processors
        .iter()
        .map(|processor| processor.common.alias.as_deref().unwrap())
        .collect();
    assert_eq!(aliases, ["b", "d", "a", "c"]);
}

#[test]
fn instances_keep_the_order_of_the_text() {
    let plan = plan(&["[[inputs.mem]]\n[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.cpu]]"]);
    assert_eq!(labels(&plan.inputs), ["inputs.mem", "inputs.cpu", "inputs.mem", "inputs.cpu"]);
}

#[test]
fn variables_strict_and_not() {
    let strict =
        plan(&["[[inputs.tail]]\nfiles = ['/var/${HOST}', '${NONE}', '$${HOST}', '${QUOTED}']"]);
    assert_eq!(
        strict.inputs[0].config.text,
        "files = [\"/var/h1\", '${NONE}', \"${HOST}\", \"a\\\"b\"]\n"
    );
    let options = || LoadOptions { non_strict_env: true, ..LoadOptions::default() };
    let text = "# $COUNT ${NONE:?no}\n[agent]\nmetric_batch_size = $COUNT\nhostname = '$HOST'\n[[inputs.cpu]]\npercpu = ${PERCPU:-false}";
    let (plan, said) = load_with(&[text], options());
    assert!(said.is_empty(), "{said:?}");
    let plan = plan.unwrap();
    assert_eq!((plan.agent.metric_batch_size, plan.agent.hostname.as_str()), (3, "h1"));
    assert_eq!(plan.inputs[0].config.text, "percpu = false\n");

    let (_, said) = load_with(
        &["x = '$HOST$HOST$HOST' \n[inputs.cpu]\n  a = $COUNT\n  b = ${NONE?gone}"],
        options(),
    );
    assert_eq!(said, ["0.toml:4:7: error: the environment variable `NONE` is missing: gone"]);
    let (_, said) =
        load_with(&["a = '$HOST$HOST' \n[inputs.cpu]\n  x = '$HOST' \n  y = $COUNT"], options());
    assert!(
        said[0].starts_with("0.toml:1:1: error: the key `a` stands outside of any section"),
        "{said:?}"
    );
    assert!(said[2].starts_with("0.toml:4:3: error: unknown key `y`"), "{said:?}");
    let (plan, said) = load_with(&["[inputs.cpu]\npercpu = $COUNT$COUNT $HOST"], options());
    assert!(plan.is_none());
    assert!(said[0].starts_with("0.toml:2:10: error: not TOML"), "{said:?}");
    let (_, said) = load_texts(&["[agent]\nmetric_batch_size = $COUNT"]);
    assert!(said[0].starts_with("0.toml:2:21: error: not TOML"), "{said:?}");
}

#[test]
fn filters() {
    let text = "[agent]\ninterval = '1s'\n[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.wrong]]\n[[outputs.file]]\n[[outputs.wrong]]\n[[processors.regex]]\n[[aggregators.basicstats]]";
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let (plan, said) = load_with(
        &[text],
        LoadOptions {
            input_filter: names(&["mem"]),
            output_filter: names(&["file"]),
            processor_filter: names(&["none"]),
            aggregator_filter: names(&[]),
            ..LoadOptions::default()
        },
    );
    assert!(said.is_empty(), "{said:?}");
    let plan = plan.unwrap();
    assert_eq!(labels(&plan.inputs), ["inputs.mem"]);
    assert_eq!(labels(&plan.outputs), ["outputs.file"]);
    assert!(plan.processors.is_empty() && plan.aggregators.is_empty());

    let sections =
        |list: &[&str]| LoadOptions { section_filter: names(list), ..LoadOptions::default() };
    let (plan, said) = load_with(&[text], sections(&["processors", "aggregators"]));
    assert!(said.is_empty(), "{said:?}");
    let plan = plan.unwrap();
    assert!(plan.inputs.is_empty() && plan.outputs.is_empty());
    assert_eq!(plan.agent.interval, Duration::from_secs(10));
    assert_eq!(plan.processors.len(), 1);
    let (plan, said) = load_with(&[text], sections(&["input"]));
    assert!(plan.is_none());
    assert!(
        said[0].starts_with("error: `input` is no section; the sections are agent,"),
        "{said:?}"
    );
    assert!(said[0].ends_with("help: did you mean `inputs`?"), "{said:?}");
}

#[test]
fn errors_have_line_column_and_remedy() {
    let check = |text: &str, expected: &str| {
        let (plan, said) = load_texts(&["", text]);
        assert!(said.iter().any(|line| line.starts_with(expected)), "{text}\n{said:#?}");
        let error = said.iter().any(|line| line.contains("error: "));
        assert_eq!(plan.is_none(), error, "{text}");
    };
    // The plugin's own keys.
    check(
        "[[inputs.cpu]]\n  perrcpu = true",
        "1.toml:2:3: error: unknown key `perrcpu` for the input `cpu`\n  help: did you mean `percpu`?",
    );
    check(
        "[[inputs.cpu]]\nnonsense_here = 1",
        "1.toml:2:1: error: unknown key `nonsense_here` for the input `cpu`",
    );
    check(
        "[[inputs.cpu]]\npercpu = 1",
        "1.toml:2:10: error: `percpu` takes true or false, not the integer 1",
    );
    check(
        "[[inputs.cpu]]\nold_option = 1",
        "1.toml:2:1: error: `old_option` is refused: it has gone",
    );
    check(
        "[[inputs.cpu]]\ncore_tag = true\ncore_tags = true",
        "1.toml:3:1: error: `core_tag` and `core_tags` are names of the same key",
    );
    check("[[inputs.tail]]\nfiles = 'x'", "1.toml:2:9: error: `files` takes a list");
    check(
        "[[inputs.tail]]\nrotation_interval = '1x'",
        "1.toml:2:21: error: `rotation_interval`: \"1x\" is not a duration",
    );
    check(
        "[[processors.regex]]\n[[processors.regex.tags]]\n  kee = 'x'",
        "1.toml:3:3: error: unknown key `kee`\n  help: did you mean `key`?",
    );
    check("[[inputs.mem]]\nx = 1", "1.toml:2:1: error: unknown key `x` for the input `mem`");
    // What every plugin takes.
    check(
        "[[inputs.cpu]]\nintervall = '1s'",
        "1.toml:2:1: error: unknown key `intervall` for the input `cpu`\n  help: did you mean `interval`?",
    );
    check(
        "[[inputs.cpu]]\ninterval = 'soon'",
        "1.toml:2:12: error: `interval`: \"soon\" is not a duration",
    );
    check("[[inputs.cpu]]\nnamepass = 'cpu'", "1.toml:2:12: error: `namepass` takes a list");
    check(
        "[[inputs.cpu]]\nnamepass = ['a', '[b']",
        "1.toml:2:12: error: `namepass`: \"[b\" is not a pattern",
    );
    check(
        "[[inputs.cpu]]\nfieldinclude = ['a',\n '{b']",
        "1.toml:3:2: error: \"{b\" is not a pattern",
    );
    check(
        "[[inputs.cpu]]\n[inputs.cpu.tagpass]\n  cpu = 'x'",
        "1.toml:3:9: error: `cpu` takes a list",
    );
    check(
        "[[inputs.cpu]]\nmetricpass = 'true'",
        "1.toml:2:1: error: `metricpass` is refused: expressions over whole points",
    );
    check("[[inputs.cpu]]\nlog_level = 'loud'", "1.toml:2:13: error: invalid value");
    check(
        "[[inputs.cpu]]\nstartup_error_behavior = 'x'",
        "1.toml:2:26: error: `startup_error_behavior` takes \"error\", \"retry\", \"ignore\" or \"probe\"",
    );
    for input in ["cpu", "tail"] {
        check(
            &format!("[[inputs.{input}]]\ntime_source = 'receive_time'"),
            "1.toml:2:15: error: `time_source` takes \"metric\", \"collection_start\" or \"collection_end\", not the string \"receive_time\"",
        );
    }
    check("[[inputs.cpu]]\ntime_source = 1", "1.toml:2:15: error: `time_source` takes \"metric\",");
    check(
        "[[inputs.tail]]\ntime_source = 'collection_end'",
        "1.toml:2:15: warning: `time_source` has no effect on the input `tail`: it is not collected",
    );
    check("[[inputs.cpu]]\n[inputs.cpu.tags]\n  a = 1", "1.toml:3:7: error: `a` takes a string");
    check("[[outputs.file]]\nmetric_batch_size = -1", "1.toml:2:21: error: ");
    check("[[processors.regex]]\norder = 'x'", "1.toml:2:9: error: `order` takes an integer");
    check("[[processors.regex]]\ninputs = ['a']", "1.toml:2:1: error: `inputs` is refused: wiring");
    check("[[outputs.file]]\ninputs = ['a']", "1.toml:2:1: error: `inputs` is refused: wiring");
    check(
        "[[aggregators.basicstats]]\ninputs = ['a']",
        "1.toml:2:1: error: `inputs` is refused: wiring",
    );
    // Options of another kind.
    check(
        "[[outputs.file]]\ninterval = '1s'",
        "1.toml:2:1: warning: `interval` is an option of inputs; on an output it has no effect",
    );
    check(
        "[[processors.regex]]\nperiod = '1s'",
        "1.toml:2:1: warning: `period` is an option of aggregators; on a processor",
    );
    check(
        "[[inputs.cpu]]\nflush_interval = '1s'",
        "1.toml:2:1: warning: `flush_interval` is an option of outputs; on an input",
    );
    // Formats.
    check(
        "[[inputs.tail]]\ndata_format = 'jsn'",
        "1.toml:2:15: error: there is no parser `jsn`\n  help: did you mean `json`?",
    );
    check(
        "[[outputs.file]]\ndata_format = 'xml'",
        "1.toml:2:15: error: there is no serializer `xml`",
    );
    check(
        "[[inputs.tail]]\ndata_format = 3",
        "1.toml:2:15: error: `data_format` takes the name of a format",
    );
    check(
        "[[inputs.tail]]\njson_query = 'x'",
        "1.toml:2:1: error: unknown key `json_query` for the input `tail`",
    );
    check(
        "[[inputs.tail]]\ndata_format = 'json'\njson_qery = 'x'",
        "1.toml:3:1: error: unknown key `json_qery` for the input `tail`\n  help: did you mean `json_query`?",
    );
    check(
        "[[inputs.tail]]\ndata_format = 'json'\njson_query = 1",
        "1.toml:3:14: error: `json_query` takes a string",
    );
    check(
        "[[inputs.cpu]]\ndata_format = 'json'",
        "1.toml:2:1: error: unknown key `data_format` for the input `cpu`",
    );
    // Plugins and sections.
    check(
        "\n[[inputs.cpuu]]\n",
        "1.toml:2:1: error: there is no input `cpuu`\n  help: did you mean `cpu`?",
    );
    check("[[inputs.gone]]\ninterval = true", "1.toml:2:12: error: `interval` takes a duration");
    check(
        "[[input.cpu]]",
        "1.toml:1:3: error: unknown section `input`\n  help: did you mean `inputs`?",
    );
    check("[[cpu]]", "1.toml:1:3: error: unknown section `cpu`\n  help: write [[inputs.cpu]]");
    check("[nothing_like_it]", "1.toml:1:2: error: unknown section `nothing_like_it`");
    check("[[inputs]]", "1.toml:1:3: error: `inputs` must be a table");
    check("inputs = 3", "1.toml:1:1: error: `inputs` must be a table");
    check(
        "[inputs]\ncpu = 3",
        "1.toml:2:1: error: `cpu` must be a plugin's table\n  help: write [[inputs.cpu]]",
    );
    check("[inputs]\ncpu = [1]", "1.toml:2:1: error: `cpu` must be a plugin's table");
    check(
        "[processors.regex]",
        "1.toml:1:1: error: a single table is not accepted for processors\n  help: write [[processors.regex]]",
    );
    check(
        "[aggregators.basicstats]",
        "1.toml:1:1: error: a single table is not accepted for aggregators",
    );
    check("interval = '1s'", "1.toml:1:1: error: the key `interval` stands outside of any section");
    check("list = ['a']", "1.toml:1:1: error: the key `list` stands outside of any section");
    check("[[agent]]", "1.toml:1:3: error: `agent` must be a table");
    check(
        "[agent]\nintervall = 1",
        "1.toml:2:1: error: unknown key `intervall`\n  help: did you mean `interval`?",
    );
    check(
        "[global_tags]\na = 1",
        "1.toml:2:5: error: the tag `a` takes a string\n  help: put the value in quotes",
    );
    check("[global_tags]\n'' = 'x'", "1.toml:2:1: error: a tag must have a name");
    check(
        "[[secretstores.os]]\nid = 'x'",
        "1.toml:1:16: error: secret stores are not supported yet\n  help: give secrets by environment",
    );
    check(
        "[[outputs.file]]\npassword = '@{store:key}'",
        "1.toml:2:12: error: `@{store:key}` refers to a secret store",
    );
    check(
        "[[outputs.file]]\npassword = 12",
        "1.toml:2:12: error: `password` takes a string (a secret), not a value of the kind integer",
    );
    check("[[inputs.cpu]\n", "1.toml:1:");
    check(
        "[[inputs.tail]]\nfiles = ['x', '${NONE:?set it}']",
        "1.toml:2:16: error: the environment variable `NONE` is missing: set it",
    );
}

#[test]
fn a_time_source_of_collections_is_for_collected_inputs() {
    plan(&[
        "[[inputs.cpu]]\ntime_source = 'collection_start'\n[[inputs.tail]]\ntime_source = 'metric'",
    ]);
}

#[test]
fn a_format_that_is_missing_is_all_that_is_said() {
    let only = |text: &str, expected: &str| {
        let (plan, said) = load_texts(&[text]);
        assert!(plan.is_none());
        assert_eq!(said, [expected], "{text}");
    };
    only(
        "[[inputs.tail]]\ndata_format = 'jsn'\njson_query = 'x'",
        "0.toml:2:15: error: there is no parser `jsn`\n  help: did you mean `json`?",
    );
    only(
        "[[outputs.file]]\ndata_format = 'xml'\nxml_root = 'x'\nfiles = ['x']",
        "0.toml:2:15: error: there is no serializer `xml`",
    );
    // One that lists `data_format` among its own keys.
    only("[[inputs.own]]\ndata_format = 'xml'", "0.toml:2:15: error: there is no parser `xml`");
    only(
        "[[inputs.own]]\ndata_format = 3",
        "0.toml:2:15: error: `data_format` takes the name of a format, as a string",
    );
    // What does not depend on the format is still said.
    let (_, said) = load_texts(&[
        "[[inputs.tail]]\ndata_format = 'xml'\nfiles = 'x'\nmetricpass = 'x'\ninterval = 'x'\nperiod = 1",
    ]);
    let places: Vec<&str> = said.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = ["0.toml:2:15", "0.toml:3:9", "0.toml:4:1", "0.toml:5:12", "0.toml:6:1"];
    assert_eq!(places, expected, "{said:#?}");
}

#[test]
fn plugins_are_counted_over_all_files() {
    let inputs = "[[inputs.mem]]\n".repeat(sections::PLUGINS_MAX - 1);
    let (plan, said) = load_texts(&[&inputs, "[[outputs.file]]"]);
    assert!(plan.is_some() && said.is_empty(), "{said:?}");
    let (plan, said) = load_texts(&[&inputs, "[[outputs.file]]\n[[inputs.cpu]]\n[[inputs.cpu]]"]);
    assert!(plan.is_none());
    assert_eq!(said, ["1.toml:2:1: error: there are more than 10000 plugins"]);
}

#[test]
fn deep_texts_are_refused() {
    let many = 50_000;
    for text in [
        format!("[[inputs.cpu]]\nx = {}", "[".repeat(many)),
        format!("[[inputs.cpu]]\nx = {}{}", "[".repeat(many), "]".repeat(many)),
        format!("[[inputs.cpu]]\nx = {}1{}", "{a=".repeat(many), "}".repeat(many)),
        format!("[[inputs.cpu]]\nx{} = 1", ".a".repeat(many)),
        format!("[[inputs.cpu{}]]\nx = 1", ".a".repeat(many)),
    ] {
        let (plan, said) = load_texts(&[&text]);
        assert!(plan.is_none());
        assert!(said[0].starts_with("0.toml:"), "{said:?}");
    }
}

#[test]
fn all_errors_of_all_files_at_once() {
    let (plan, said) = load_texts(&[
        "[agent]\nfoo = 1\n[[inputs.cpu]]\nbar = 2\npercpu = 'x'\n[[outputs.nope]]",
        "a = [",
        "[[processors.regex]]\n[[processors.regex.tags]]\nx = 1\n[[processors.regex.fields]]\ny = 1\n[[inputs.mem]]\nz = 1",
    ]);
    assert!(plan.is_none());
    let places: Vec<&str> = said.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "0.toml:2:1",
            "0.toml:4:1",
            "0.toml:5:10",
            "0.toml:6:1",
            "1.toml:1:6",
            "2.toml:3:1",
            "2.toml:5:1",
            "2.toml:7:1"
        ],
        "{said:#?}"
    );
}

#[test]
fn a_key_may_belong_to_kind_and_plugin() {
    // `tags` of the processor regex is its own, though it is a common key of inputs.
    let plan = plan(&[
        "[[processors.regex]]\ntags = [{ key = 'a' }]\n[[inputs.own]]\ninterval = 7\ntags = ['x']",
    ]);
    assert_eq!(plan.processors[0].config.text, "tags = [{ key = 'a' }]\n");
    let own = &plan.inputs[0];
    assert_eq!(own.options.interval, Duration::from_secs(7));
    assert_eq!(own.config.text, "interval = 7\ntags = ['x']\n");
    assert!(own.options.tags.is_empty(), "a list is not the table of tags that inputs take");
    assert_eq!(own.format.as_ref().unwrap().name, "json", "the plugin's own default");
}

#[test]
fn a_plugins_error_finds_its_place() {
    let plan = plan(&[
        "[[processors.regex]]\n  alias = 'x'\n  [[processors.regex.tags]]\n    pattern = '('\n",
    ]);
    let config = &plan.processors[0].config;
    assert!(config.place_of("tags.0.pattern").to_string().ends_with("0.toml:4:15"));
    let at = config.text.find('(').unwrap();
    assert!(config.place(Some(&(at..at + 1))).to_string().ends_with("0.toml:4:16"));
    assert!(config.place(None).to_string().ends_with("0.toml:1:1"));
    let said = config.diagnose("no group".into(), None, Some("tags.0.pattern")).to_string();
    assert!(said.ends_with("0.toml:4:15: error: no group"), "{said}");
    let said = config.diagnose("no group".into(), Some(&(at..at + 1)), Some("tags")).to_string();
    assert!(said.ends_with("0.toml:4:16: error: no group"), "{said}");
}

#[test]
fn a_plan_shows_no_secrets() {
    let plan = plan(&["[[outputs.file]]\npassword = 'hunter2'"]);
    assert!(plan.outputs[0].config.text.contains("hunter2"));
    let shown = format!("{plan:?}");
    assert!(!shown.contains("hunter2") && shown.contains("0.toml:1:1"), "{shown}");
}

#[test]
fn zero_means_as_the_agent() {
    let plan = plan(&[
        "[agent]\ninterval = '3s'\nflush_jitter = '2s'\n[[inputs.cpu]]\ninterval = '0s'\nprecision = ''\n[[outputs.file]]\nmetric_batch_size = 0\nflush_jitter = 0\nlog_level = 'WARN'",
    ]);
    assert_eq!(plan.inputs[0].options.interval, Duration::from_secs(3));
    assert_eq!(plan.inputs[0].options.precision, None);
    assert_eq!(plan.outputs[0].options.metric_batch_size, 1000);
    assert_eq!(plan.outputs[0].options.flush_jitter, Duration::ZERO);
    assert_eq!(plan.outputs[0].common.log_level, Some(LogLevel::Warning));
}

#[test]
fn any_text_is_read_or_refused() {
    const PIECES: [&str; 44] = [
        "[agent]\n",
        "[[inputs.cpu]]\n",
        "[[inputs.tail]]\n",
        "[outputs.file]\n",
        "[[processors.regex]]\n",
        "[[processors.regex.tags]]\n",
        "[global_tags]\n",
        "[inputs.cpu.tagpass]\n",
        "interval = ",
        "percpu = ",
        "namepass = ",
        "data_format = ",
        "json_query = ",
        "tags = ",
        "key = ",
        "files = ",
        "'json'",
        "'1h'",
        "true",
        "12",
        "1.5",
        "[",
        "]",
        "{",
        "}",
        ",",
        " = ",
        "\n",
        "\"",
        "'",
        "$HOST",
        "${X:-y}",
        "@{a:b}",
        "[x",
        "ä",
        "#",
        "\\",
        ".",
        "'''",
        "1979-05-27",
        "tagpass.cpu = ['*']\n",
        "'[a'",
        "inputs",
        "agent",
    ];
    let mut seed = 21u64;
    let mut random = |limit: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % limit
    };
    let mut plans = 0;
    for round in 0..6000 {
        let text: String = (0..random(24)).map(|_| PIECES[random(PIECES.len())]).collect();
        let mut file = source::SourceFile::new("f", 0, text.clone());
        let mut diagnostics = Diagnostics::default();
        if round % 2 == 0 {
            assert!(file.expand(&VARS, &mut diagnostics));
        }
        let (plan, said) =
            load_sources(vec![file], &LoadOptions::default(), &VARS, &Plugins, diagnostics);
        plans += usize::from(plan.is_some());
        assert_eq!(plan.is_none(), said.iter().any(Diagnostic::is_error), "{text:?}");
        for place in said.iter().filter_map(|diagnostic| diagnostic.place.as_ref()) {
            assert!(place.line <= text.matches('\n').count() + 1, "{text:?} {place}");
        }
        if let Some(plan) = plan {
            for input in &plan.inputs {
                input.config.text.parse::<toml::Table>().unwrap();
            }
        }
    }
    assert!(plans > 200, "{plans}");
}
