//! `influxdb`: writes to InfluxDB 1.x and what speaks like it, over HTTP, a Unix socket or UDP.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::config::{Secret, Size};
use headwater_plugin_api::plugin::{Context, Counter, Error, ErrorKind, Host, Output, Plugin};
use headwater_plugin_api::{choice, config};
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::answer::Answer;
use crate::client::{
    Encoding, Endpoint, HttpConfig, Place, Request, authorization, basic, endpoints, gzip, join,
};
use crate::points::{Lines, Points};
use crate::route::{Destination, Router, Source};
use crate::udp::Udp;
use crate::write::{Attempt, Stop};

const DATABASE: &str = "telegraf";

choice! {
    /// How many nodes of a cluster must have a point before it counts as written.
    pub enum Consistency {
        Any = "any",
        One = "one",
        Quorum = "quorum",
        All = "all",
    }
}

config! {
    /// Writes to InfluxDB 1.x, VictoriaMetrics and whatever else takes line protocol at `/write`.
    pub struct InfluxDbConfig {
        #[flatten]
        pub http: HttpConfig = HttpConfig::default(),
        /// The database, which is created if it is not there; `telegraf` if empty.
        pub database: String = DATABASE.into(),
        /// The tag whose value names the database, for points that have it.
        pub database_tag: String = String::new(),
        /// Take `database_tag` off the points.
        pub exclude_database_tag: bool = false,
        /// Never create a database.
        pub skip_database_creation: bool = false,
        /// The retention policy; the database's default if empty.
        pub retention_policy: String = String::new(),
        /// The tag whose value names the retention policy, for points that have it.
        pub retention_policy_tag: String = String::new(),
        /// Take `retention_policy_tag` off the points.
        pub exclude_retention_policy_tag: bool = false,
        /// How many nodes of a cluster must have a point before it counts as written.
        pub write_consistency: Option<Consistency> = None,
        /// The user.
        pub username: Secret = Secret::default(),
        /// The user's password.
        pub password: Secret = Secret::default(),
        /// Bytes of a datagram, for `udp://`. The fields of a point that is longer are sent in several
        /// ones; a field that is longer alone is left out, and a point of such fields refused.
        pub udp_payload: Size = Size::bytes(512),
    }
    refused {
        "url" = "it is called `urls` now, a list",
        "precision" = "times are always written in nanoseconds; remove it",
    }
}

pub struct InfluxDb {
    config: InfluxDbConfig,
    places: Vec<Place>,
    host: Host,
    router: Router,
    servers: Vec<Server>,
    lines: Option<Box<dyn Lines>>,
    buffer: Vec<u8>,
    authorization: Option<HeaderValue>,
    /// Where the next write begins among the servers.
    next: usize,
    unnamed: Counter,
    /// What was logged at the last connect.
    warned: Vec<String>,
}

enum Server {
    Http(Endpoint),
    /// With a serializer whose lines fit into a datagram.
    Udp(Udp, Box<dyn Lines>),
}

impl Plugin for InfluxDb {
    type Config = InfluxDbConfig;
    const NAME: &'static str = "influxdb";
    const SUMMARY: &'static str = "Writes to InfluxDB 1.x over HTTP, a Unix socket or UDP.";

    fn new(mut config: InfluxDbConfig, host: Host) -> Result<Self, Error> {
        if config.database.is_empty() {
            config.database.push_str(DATABASE);
        }
        let places = config.http.check(&["http", "https", "unix", "udp", "udp4", "udp6"])?;
        if places.iter().any(|place| matches!(place, Place::Udp(..))) {
            for (key, tag) in [
                ("database_tag", &config.database_tag),
                ("retention_policy_tag", &config.retention_policy_tag),
            ] {
                if !tag.is_empty() {
                    let message =
                        format!("a server at udp:// chooses the database itself; remove `{key}`");
                    return Err(Error::config(key, message));
                }
            }
        }
        if config.udp_payload.get() == 0 || config.udp_payload.get() > 65_507 {
            let message =
                format!("a datagram holds 1 to 65507 bytes, not {}", config.udp_payload.get());
            return Err(Error::config("udp_payload", message));
        }
        let router = Router::new(vec![
            Source {
                tag: config.database_tag.clone(),
                exclude: config.exclude_database_tag,
                default: config.database.clone(),
            },
            Source {
                tag: config.retention_policy_tag.clone(),
                exclude: config.exclude_retention_policy_tag,
                default: config.retention_policy.clone(),
            },
        ]);
        let next = host.now() as usize / 1000;
        let unnamed = host.counter("refused_unnamed");
        Ok(InfluxDb {
            config,
            places,
            host,
            router,
            servers: Vec::new(),
            lines: None,
            buffer: Vec::new(),
            authorization: None,
            next,
            unnamed,
            warned: Vec::new(),
        })
    }

    fn connect(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        let http = &self.config.http;
        if self.lines.is_none() {
            self.lines =
                Some(Box::new(self.host.serializer("influx", &http.serializer_options())?));
        }
        self.authorization = match self.config.username.is_empty() {
            true => None,
            false => {
                let user = self.host.secret(self.config.username.expose())?;
                let password = self.host.secret(self.config.password.expose())?;
                Some(authorization("Basic", &basic(&user, &password))?)
            }
        };
        let mut servers = Vec::new();
        for endpoint in endpoints(http, &self.places, &self.host)? {
            servers.push(Server::Http(endpoint));
        }
        for place in &self.places {
            if let Place::Udp(place, scheme) = place {
                let payload = self.config.udp_payload.as_usize();
                let local = http.local_host()?;
                let options =
                    format!("{}influx_max_line_bytes = {payload}\n", http.serializer_options());
                let short = self.host.serializer("influx", &options)?;
                let udp = Udp::new(place, scheme, local, payload)?;
                servers.push(Server::Udp(udp, Box::new(short)));
            }
        }
        self.servers = servers;
        if !self.config.skip_database_creation {
            self.create_databases(cx);
        }
        Ok(())
    }

    fn stop(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        self.servers.clear();
        Ok(())
    }
}

impl InfluxDb {
    /// Creates the database at each server. Where that fails points may still be taken, for the
    /// database may be there: it is worth a line in the log, once.
    fn create_databases(&mut self, cx: &Context<'_>) {
        let database = &self.config.database;
        let mut warnings = Vec::new();
        for server in &self.servers {
            if let Server::Http(endpoint) = server
                && let Err(error) =
                    create_database(cx, endpoint, self.authorization.clone(), database)
            {
                let name = &endpoint.name;
                warnings.push(format!("{name}: database {database:?} is not created: {error}"));
            }
        }
        for warning in warnings.iter().filter(|warning| !self.warned.contains(warning)) {
            self.host.warn(warning);
        }
        self.warned = warnings;
    }
}

fn create_database(
    cx: &Context<'_>,
    endpoint: &Endpoint,
    authorization: Option<HeaderValue>,
    name: &str,
) -> Result<(), Error> {
    let query = format!("CREATE DATABASE {}", quote(name));
    let mut form = join(&endpoint.base, "", &[]);
    form.set_query(None);
    form.query_pairs_mut().append_pair("q", &query);
    let answer = endpoint.send(
        cx,
        Request {
            url: join(&endpoint.base, "/query", &[]),
            content_type: "application/x-www-form-urlencoded",
            authorization,
            gzip: false,
            body: form.query().unwrap_or_default().as_bytes().to_vec(),
        },
    )?;
    // What is wrong with the statement comes with status 200.
    if answer.is_success() && !answer.is_own {
        return Ok(());
    }
    Err(Error::failed(answer.sentence()))
}

/// A name in InfluxQL.
fn quote(name: &str) -> String {
    let mut out = String::from("\"");
    for c in name.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The URL to write to.
fn write_url(base: &Url, to: &Destination, consistency: Option<Consistency>) -> Url {
    let [database, policy] = to.names.as_slice() else { return base.clone() };
    let mut query = vec![("db", database.as_str())];
    if !policy.is_empty() {
        query.push(("rp", policy));
    }
    if let Some(consistency) = consistency {
        query.push(("consistency", consistency.word()));
    }
    join(base, "/write", &query)
}

impl Output for InfluxDb {
    fn write(&mut self, cx: &Context<'_>, batches: &[Batch]) -> Result<(), Error> {
        let InfluxDb { config, host, router, servers, lines, buffer, authorization, next, .. } =
            self;
        let Some(lines) = lines else { return Err(Error::not_connected("not connected yet")) };
        let total = batches.iter().map(Batch::len).sum();
        let routes = router.route(batches);
        let mut errors = Vec::new();
        let first = *next;
        *next = next.wrapping_add(1);
        for at in 0..servers.len() {
            let place = first.wrapping_add(at) % servers.len();
            let mut attempt = Attempt::new(cx, lines.as_mut(), buffer);
            let result = match &mut servers[place] {
                Server::Udp(udp, short) => {
                    send_datagrams(udp, short.as_mut(), &routes, &mut attempt)
                }
                Server::Http(endpoint) => {
                    let to = Http { config, endpoint, authorization };
                    to.write(cx, &routes, &mut attempt)
                        .map_err(|error| error.context(&endpoint.name))
                }
            };
            match result {
                Ok(()) => {
                    tell_unnamed(&attempt, host, &self.unnamed);
                    return attempt.conclude(total);
                }
                Err(error) => errors.push(error),
            }
            if cx.is_cancelled() {
                break;
            }
        }
        Err(join_errors(errors))
    }
}

/// Tells of refused points that no row stands for.
pub fn tell_unnamed(attempt: &Attempt<'_>, host: &Host, counter: &Counter) {
    if attempt.unnamed > 0 {
        counter.add(attempt.unnamed);
        host.error(&format!(
            "{} points were refused for good, and it is not told which: {}",
            attempt.unnamed,
            attempt.reason.as_deref().unwrap_or_default()
        ));
    }
}

/// What all servers said, as one error: the pause that one of them asked for is kept, and a lost
/// connection is made anew.
pub fn join_errors(errors: Vec<Error>) -> Error {
    let pauses = errors.iter().filter_map(|error| match error.kind() {
        ErrorKind::RetryAfter(pause) => Some(*pause),
        _ => None,
    });
    let kind = match pauses.min() {
        Some(pause) => ErrorKind::RetryAfter(pause),
        None if errors.is_empty() => ErrorKind::NotConnected,
        None if errors.iter().any(|error| *error.kind() == ErrorKind::NotConnected) => {
            ErrorKind::NotConnected
        }
        None => ErrorKind::Failed,
    };
    let messages: Vec<&str> = errors.iter().map(Error::message).collect();
    Error::new(kind, if messages.is_empty() { "not connected".into() } else { messages.join("; ") })
}

fn send_datagrams(
    udp: &Udp,
    short: &mut dyn Lines,
    routes: &[(Destination, Points<'_>)],
    attempt: &mut Attempt<'_>,
) -> Result<(), Error> {
    let mut text = Vec::new();
    for (_, points) in routes {
        text.clear();
        points.append_to(attempt.cx, attempt.lines, &mut text)?;
        let mut long: Vec<String> = Vec::new();
        udp.send(&text, |line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            long.push(String::from_utf8_lossy(line).into_owned());
        })?;
        if long.is_empty() {
            continue;
        }
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let mut rows = Vec::new();
        if let Err(Stop::Error(error)) = attempt.search(points, &long, &mut rows) {
            return Err(error);
        }
        for row in rows {
            text.clear();
            points.filter(|id| id == row).append_to(attempt.cx, short, &mut text)?;
            if text.is_empty() {
                attempt.refuse_for(vec![row], || "a field is longer than `udp_payload`".into());
            } else {
                udp.send(&text, |_| {})?;
            }
        }
    }
    Ok(())
}

/// One server, and what goes with each request to it.
struct Http<'a> {
    config: &'a InfluxDbConfig,
    endpoint: &'a Endpoint,
    authorization: &'a Option<HeaderValue>,
}

impl Http<'_> {
    fn write(
        &self,
        cx: &Context<'_>,
        routes: &[(Destination, Points<'_>)],
        attempt: &mut Attempt<'_>,
    ) -> Result<(), Error> {
        let mut closed = None;
        for (to, points) in routes {
            let url = write_url(&self.endpoint.base, to, self.config.write_consistency);
            let mut created = self.config.skip_database_creation;
            let mut send = |body: &[u8]| {
                let answer = self.send(cx, &url, body)?;
                if created || answer.is_success() || !answer.text.contains("database not found") {
                    return Ok(answer);
                }
                created = true;
                let name = to.names.first().map_or("", String::as_str);
                match create_database(cx, self.endpoint, self.authorization.clone(), name) {
                    Ok(()) => self.send(cx, &url, body),
                    Err(error) => {
                        let text = format!("{} (not created: {error})", answer.text);
                        Ok(Answer { text, ..answer })
                    }
                }
            };
            match attempt.write(points.clone(), &mut send) {
                Ok(()) => {}
                Err(Stop::Error(error)) => return Err(error),
                // What one tag's value asks for must not stop all others.
                Err(Stop::Closed(why)) if to.by_tag => attempt.refuse_for(points.rows(), || why),
                Err(Stop::Closed(why)) => closed = Some(Error::not_connected(why)),
            }
        }
        closed.map_or(Ok(()), Err)
    }

    fn send(&self, cx: &Context<'_>, url: &Url, lines: &[u8]) -> Result<Answer, Error> {
        let packed = self.config.http.content_encoding == Encoding::Gzip;
        self.endpoint.send(
            cx,
            Request {
                url: url.clone(),
                content_type: "text/plain; charset=utf-8",
                authorization: self.authorization.clone(),
                gzip: packed,
                body: if packed { gzip(lines) } else { lines.to_vec() },
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::testkit;

    #[test]
    fn urls_name_the_destination() {
        let base = Url::parse("http://h:8086/").unwrap();
        let to = |database: &str, policy: &str| Destination {
            names: vec![database.into(), policy.into()],
            by_tag: false,
        };
        let url = |to, consistency| write_url(&base, &to, consistency).to_string();
        assert_eq!(url(to("telegraf", ""), None), "http://h:8086/write?db=telegraf");
        assert_eq!(
            url(to("a b", "one week"), Some(Consistency::Quorum)),
            "http://h:8086/write?db=a+b&rp=one+week&consistency=quorum"
        );
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote("plain"), "\"plain\"");
        assert_eq!(quote("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
    }

    #[test]
    fn options_that_cannot_be() {
        let check = |text: &str, part: &str| {
            let error = testkit::output::<InfluxDb>(text).err().unwrap();
            assert!(error.message().contains(part), "{text}: {error}");
        };
        check("urls = ['udp://h:1']\ndatabase_tag = 'db'", "remove `database_tag`");
        check("udp_payload = '1MB'", "not 1000000");
        check("url = 'http://x'", "it is called `urls` now");
        check("precision = 's'", "always written in nanoseconds");
        check("write_consistency = 'most'", "most");
        check("content_encoding = 'zip'", "zip");
        check("data_base = 'x'", "database");
        check("urls = ['tcp://x']", "`tcp` is unknown");
        check("ssl_ca = 'x'", "it is called `tls_ca` now");
    }

    #[test]
    fn without_an_agent_there_is_no_serializer() {
        let mut output = testkit::output::<InfluxDb>("").unwrap();
        let batches = crate::points::tests::batches(1);
        let error = output.write(&batches).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::NotConnected);
    }

    #[test]
    fn errors_of_several_servers_are_one() {
        use std::time::Duration;
        let later =
            |s| Error::new(ErrorKind::RetryAfter(Duration::from_secs(s)), format!("in {s}"));
        let joined = join_errors(vec![later(9), Error::failed("b"), later(3)]);
        assert_eq!(
            joined,
            Error::new(ErrorKind::RetryAfter(Duration::from_secs(3)), "in 9; b; in 3")
        );
        let joined = join_errors(vec![Error::failed("a"), Error::not_connected("b")]);
        assert_eq!(joined, Error::not_connected("a; b"));
        assert_eq!(join_errors(vec![Error::failed("a")]), Error::failed("a"));
        assert_eq!(*join_errors(Vec::new()).kind(), ErrorKind::NotConnected);
    }
}
