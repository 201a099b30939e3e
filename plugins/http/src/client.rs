//! The HTTP client: options that all outputs share, and requests that end in time.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::Write as _;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use headwater_plugin_api::config::{Duration, Secret};
use headwater_plugin_api::plugin::{Context, Error, Host};
use headwater_plugin_api::{choice, config};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Url, redirect};
use tokio::runtime::{Builder, Runtime};

use crate::answer::Answer;
use crate::tls::TlsConfig;

/// Bytes of an answer that are read: room for the lines that a server quotes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How often a waiting call looks whether it should give up.
const LOOK_AROUND: std::time::Duration = std::time::Duration::from_millis(100);

choice! {
    /// How a request's body is packed.
    pub enum Encoding {
        /// As it is.
        Identity = "identity",
        Gzip = "gzip",
    }
}

config! {
    /// What all outputs of this family have in common.
    pub struct HttpConfig {
        /// Servers of one cluster: `http://`, `https://` or `unix:///path`; output `influxdb` knows
        /// `udp://host:port` as well. Each write goes to one of them, to the next one if it fails.
        pub urls: Vec<String> = vec!["http://localhost:8086".into()],
        /// The local address to connect from, without a port.
        pub local_address: String = String::new(),
        /// How long one request may take; 0 for as long as the agent lets a write run.
        pub timeout: Duration = Duration::from_secs(5),
        /// Further headers. Values may be references to secrets.
        pub http_headers: BTreeMap<String, Secret> = BTreeMap::new(),
        /// The proxy to use, instead of what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.
        pub http_proxy: String = String::new(),
        /// What to call ourselves.
        pub user_agent: String = concat!("Headwater/", env!("CARGO_PKG_VERSION")).into(),
        /// How to pack the body: `gzip` or `identity`.
        pub content_encoding: Encoding = Encoding::Gzip,
        /// Write unsigned integers as such. Otherwise they are written as signed ones, at most
        /// 9223372036854775807. A field that has signed values on the server refuses unsigned ones.
        pub influx_uint_support: bool = false,
        /// Leave the times out: points get the time of their arrival.
        pub influx_omit_timestamp: bool = false,
        #[flatten]
        pub tls: TlsConfig = TlsConfig::default(),
    }
}

impl HttpConfig {
    /// What the options alone can tell.
    ///
    /// # Errors
    /// At the key that is to blame.
    pub fn check(&self, schemes: &[&str]) -> Result<Vec<Place>, Error> {
        self.tls.check()?;
        if self.urls.is_empty() {
            return Err(Error::config("urls", "`urls` is empty; name at least one server"));
        }
        for name in self.http_headers.keys() {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(Error::config("http_headers", format!("`{name}` is no header's name")));
            }
        }
        if HeaderValue::from_str(&self.user_agent).is_err() {
            let message = format!("{:?} cannot stand in a header", self.user_agent);
            return Err(Error::config("user_agent", message));
        }
        self.proxy()?;
        self.local_host()?;
        let place = |(at, url): (usize, &String)| {
            Place::new(url, schemes).map_err(|why| Error::config(&format!("urls.{at}"), why))
        };
        self.urls.iter().enumerate().map(place).collect()
    }

    fn proxy(&self) -> Result<Option<reqwest::Proxy>, Error> {
        if self.http_proxy.is_empty() {
            return Ok(None);
        }
        let refuse = |why: String| Error::config("http_proxy", why);
        let url = Url::parse(&self.http_proxy)
            .map_err(|error| refuse(format!("`{}` is no URL: {error}", self.http_proxy)))?;
        if !matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h") {
            return Err(refuse(format!(
                "`{}` is no proxy; write for instance \"http://proxy.example:3128\"",
                self.http_proxy
            )));
        }
        reqwest::Proxy::all(url).map(Some).map_err(|error| refuse(cause(&error)))
    }

    /// The host part of `local_address`.
    pub fn local_host(&self) -> Result<Option<&str>, Error> {
        let text = self.local_address.as_str();
        if text.is_empty() {
            return Ok(None);
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bare {
            Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
            None if text.parse::<IpAddr>().is_ok() => (text, ""),
            None => text.rsplit_once(':').unwrap_or((text, "")),
        };
        if !matches!(port, "" | "0") {
            let message = format!(
                "a fixed local port (`{port}`) allows one connection at a time and none soon after it \
                 ended; write `{host}` alone"
            );
            return Err(Error::config("local_address", message));
        }
        Ok(Some(host))
    }

    fn local_ip(&self) -> Result<Option<IpAddr>, Error> {
        let Some(host) = self.local_host()? else { return Ok(None) };
        let found = (host, 0).to_socket_addrs().map(|mut addresses| addresses.next());
        match found {
            Ok(Some(address)) => Ok(Some(address.ip())),
            Ok(None) => Err(Error::failed(format!("local_address {host} has no address"))),
            Err(error) => Err(Error::failed(format!("local_address {host}: {error}"))),
        }
    }

    /// The options of the influx serializer.
    pub fn serializer_options(&self) -> String {
        let mut options = String::new();
        for (key, set) in [
            ("influx_uint_support", self.influx_uint_support),
            ("influx_omit_timestamp", self.influx_omit_timestamp),
        ] {
            if set {
                options.push_str(key);
                options.push_str(" = true\n");
            }
        }
        options
    }
}

/// Where a URL points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Http(Url),
    /// A socket of the file system, and the URL to ask for behind it.
    Unix(String, Url),
    /// Host and port, and the URL's scheme.
    Udp(String, String),
}

impl Place {
    fn new(text: &str, schemes: &[&str]) -> Result<Place, String> {
        let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
        if !schemes.contains(&url.scheme()) {
            let known = schemes.join("://, ");
            return Err(format!("`{}` is unknown; URLs begin with {known}://", url.scheme()));
        }
        match url.scheme() {
            "unix" => {
                if url.path().is_empty() || url.path() == "/" {
                    return Err(format!(
                        "`{text}` names no socket; write \"unix:///path/to/socket\""
                    ));
                }
                let behind = Url::parse("http://localhost/").map_err(|error| error.to_string())?;
                Ok(Place::Unix(url.path().to_owned(), behind))
            }
            "udp" | "udp4" | "udp6" => match (url.host_str(), url.port()) {
                (Some(host), Some(port)) => {
                    Ok(Place::Udp(format!("{host}:{port}"), url.scheme().to_owned()))
                }
                _ => Err(format!("`{text}` lacks host or port")),
            },
            _ if url.host_str().is_none_or(str::is_empty) => Err(format!("`{text}` lacks a host")),
            _ => Ok(Place::Http(url)),
        }
    }
}

/// A URL as a person may see it: without user, password and query.
pub fn shown(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let path = url.path().trim_end_matches('/');
    format!("{}://{}{port}{path}", url.scheme(), url.host_str().unwrap_or_default())
}

/// `base` with `path` behind its own, and further parts of the query.
pub fn join(base: &Url, path: &str, query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    let own = base.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{own}{path}"));
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// A server that is asked over HTTP.
pub struct Endpoint {
    pub base: Url,
    /// How it is called in messages.
    pub name: String,
    http: reqwest::Client,
    headers: HeaderMap,
    timeout: Option<std::time::Duration>,
}

/// A request in the making.
pub struct Request {
    pub url: Url,
    pub content_type: &'static str,
    pub authorization: Option<HeaderValue>,
    pub gzip: bool,
    pub body: Vec<u8>,
}

/// Makes the clients for all places that speak HTTP. Reads certificates and resolves secrets.
///
/// # Errors
/// A file, a secret or an address that is not there.
pub fn endpoints(
    config: &HttpConfig,
    places: &[Place],
    host: &Host,
) -> Result<Vec<Endpoint>, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.http_headers {
        let value = host.secret(value.expose())?;
        let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
        else {
            return Err(Error::failed(format!(
                "the value of header {name} cannot stand in a header"
            )));
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let is_https = |place: &Place| matches!(place, Place::Http(url) if url.scheme() == "https");
    let tls = match places.iter().any(is_https) || config.http_proxy.starts_with("https") {
        true => config.tls.client()?,
        false => config.tls.unused()?,
    };
    let timeout = Some(config.timeout.get()).filter(|timeout| !timeout.is_zero());
    let mut plain = None;
    let mut endpoints = Vec::new();
    for place in places {
        let (base, name, http) = match place {
            Place::Udp(..) => continue,
            Place::Unix(path, base) => {
                let http = client(config, tls.clone(), Some(path))?;
                (base.clone(), format!("unix://{path}"), http)
            }
            Place::Http(url) => {
                let http = match &plain {
                    Some(http) => reqwest::Client::clone(http),
                    None => plain.insert(client(config, tls.clone(), None)?).clone(),
                };
                (url.clone(), shown(url), http)
            }
        };
        endpoints.push(Endpoint { base, name, http, headers: headers.clone(), timeout });
    }
    Ok(endpoints)
}

fn client(
    config: &HttpConfig,
    tls: rustls::ClientConfig,
    socket: Option<&str>,
) -> Result<reqwest::Client, Error> {
    // Any other status would turn the write into a read, and lose it. From `http` to `https` nobody
    // is led either: what was sent in the clear once would be so at each write.
    let redirects = redirect::Policy::custom(|attempt| {
        let keeps_body = matches!(attempt.status().as_u16(), 307 | 308);
        let same_scheme =
            attempt.previous().last().is_some_and(|from| from.scheme() == attempt.url().scheme());
        if keeps_body && same_scheme && attempt.previous().len() < 5 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .redirect(redirects)
        .referer(false)
        .user_agent(config.user_agent.as_str())
        .tls_backend_preconfigured(tls);
    match (config.proxy()?, socket) {
        (_, Some(path)) => builder = builder.no_proxy().unix_socket(path),
        (Some(proxy), None) => builder = builder.proxy(proxy),
        (None, None) => {}
    }
    if socket.is_none() {
        builder = builder.local_address(config.local_ip()?);
    }
    builder.build().map_err(|error| Error::failed(format!("no HTTP client: {}", cause(&error))))
}

/// A name and password as a header.
///
/// # Errors
/// It cannot stand in a header.
pub fn authorization(scheme: &str, secret: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {secret}")).map_err(|_| {
        Error::failed("the credentials hold characters that cannot stand in a header")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// `user:password` as HTTP's basic authentication wants it.
pub fn basic(user: &str, password: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("{user}:{password}");
    let mut out = String::with_capacity(text.len().div_ceil(3) * 4);
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) as usize & 63;
            out.push(if at <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    out
}

/// `text` packed.
pub fn gzip(text: &[u8]) -> Vec<u8> {
    // Level 1 takes a third of the time of 6 and makes bodies a sixth larger.
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4 + 64), Compression::fast());
    // Writing into memory does not fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

impl Endpoint {
    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// There is no connection, or no answer in time.
    pub fn send(&self, cx: &Context<'_>, request: Request) -> Result<Answer, Error> {
        self.wait(cx, self.exchange(request))?
    }

    /// Sends several requests at the same time.
    pub fn send_all(&self, cx: &Context<'_>, requests: Vec<Request>) -> Vec<Result<Answer, Error>> {
        let count = requests.len();
        let all = async {
            let tasks: Vec<_> =
                requests.into_iter().map(|request| tokio::spawn(self.exchange(request))).collect();
            let mut answers = Vec::with_capacity(tasks.len());
            for task in tasks {
                let answer = task.await;
                answers.push(answer.unwrap_or_else(|error| Err(Error::failed(error.to_string()))));
            }
            answers
        };
        self.wait(cx, all).unwrap_or_else(|error| vec![Err(error); count])
    }

    /// The exchange, which borrows nothing.
    fn exchange(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Answer, Error>> + Send + use<> {
        let mut builder = self
            .http
            .post(request.url)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        if let Some(authorization) = request.authorization {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        if request.gzip {
            builder = builder.header(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let builder = builder.headers(self.headers.clone()).body(request.body);
        async move {
            let again = builder.try_clone();
            let mut response = match (builder.send().await, again) {
                (Err(error), Some(again)) if is_stale(&error) => again.send().await,
                (result, _) => result,
            }
            .map_err(|error| sent(&error))?;
            let header = |key: &str| {
                let value = response.headers().get(key)?.to_str().ok()?;
                Some(value.to_owned())
            };
            let error = header("x-influxdb-error").or_else(|| header("x-influx-error"));
            let (retry_after, location) = (header("retry-after"), header("location"));
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while body.len() < ANSWER_BYTES_MAX
                && let Some(chunk) = response.chunk().await.map_err(|error| sent(&error))?
            {
                let room = ANSWER_BYTES_MAX - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            Ok(Answer { retry_after, location, ..Answer::new(status, error.as_deref(), &body) })
        }
    }

    /// Drives a future to its end, to the timeout, or to the end of the call.
    fn wait<T>(&self, cx: &Context<'_>, future: impl Future<Output = T>) -> Result<T, Error> {
        let start = Instant::now();
        let limit = match (self.timeout, cx.remaining()) {
            (Some(own), Some(left)) => Some(own.min(left)),
            (own, left) => own.or(left),
        };
        runtime()?.block_on(async {
            let mut future = pin!(future);
            loop {
                let left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
                let step = left.map_or(LOOK_AROUND, |left| left.min(LOOK_AROUND));
                match tokio::time::timeout(step, future.as_mut()).await {
                    Ok(output) => return Ok(output),
                    Err(_) if cx.is_cancelled() => {
                        return Err(Error::failed("given up, the time for this write is over"));
                    }
                    Err(_) if left.is_some_and(|left| left <= step) => {
                        let waited = Duration::from_millis(
                            u64::try_from(limit.unwrap_or_default().as_millis())
                                .unwrap_or(u64::MAX),
                        );
                        return Err(Error::failed(format!("no answer within {waited}")));
                    }
                    Err(_) => {}
                }
            }
        })
    }
}

/// Whether the connection may have ended while it lay idle, of which nobody takes note between two
/// writes. A point that was written nonetheless may be written again.
fn is_stale(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// The error of an exchange.
fn sent(error: &reqwest::Error) -> Error {
    let message = cause(error);
    if error.is_connect() { Error::not_connected(message) } else { Error::failed(message) }
}

/// The innermost reason, which is the one that says something.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    if error.source().is_none() { error.to_string() } else { inner.to_string() }
}

/// The family's runtime. It has no thread of its own: whoever waits drives it.
fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
        })
        .as_ref()
        .map_err(|error| Error::failed(format!("no runtime: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::config::parse;
    use headwater_plugin_api::plugin::ErrorKind;

    const ALL: [&str; 6] = ["http", "https", "unix", "udp", "udp4", "udp6"];

    #[test]
    fn places() {
        let place = |text: &str| Place::new(text, &ALL);
        let url = |text: &str| Url::parse(text).unwrap();
        assert_eq!(place("https://h:1/x?y=z"), Ok(Place::Http(url("https://h:1/x?y=z"))));
        assert_eq!(
            place("unix:///run/influxdb.sock"),
            Ok(Place::Unix("/run/influxdb.sock".into(), url("http://localhost/")))
        );
        assert_eq!(place("udp://[::1]:8089"), Ok(Place::Udp("[::1]:8089".into(), "udp".into())));
        let check = |text: &str, part: &str| {
            let error = place(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("localhost:8086", "`localhost` is unknown; URLs begin with http://, https://");
        check("ftp://x", "`ftp` is unknown");
        check("nonsense", "is no URL");
        check("unix://", "names no socket");
        check("udp://host", "lacks host or port");
    }

    #[test]
    fn urls_are_joined_and_shown_without_secrets() {
        let base = Url::parse("http://u:p@h:8086/prefix/?keep=1").unwrap();
        let url = join(&base, "/write", &[("db", "a b&c"), ("rp", "ü\"")]);
        assert_eq!(url.as_str(), "http://u:p@h:8086/prefix/write?keep=1&db=a+b%26c&rp=%C3%BC%22");
        assert_eq!(shown(&url), "http://h:8086/prefix/write");
        assert_eq!(join(&Url::parse("http://h").unwrap(), "/x", &[]).as_str(), "http://h/x");
    }

    #[test]
    fn basic_authentication_by_its_published_examples() {
        assert_eq!(basic("Aladdin", "open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("test", "123\u{a3}"), "dGVzdDoxMjPCow==");
        assert_eq!(basic("", ""), "Og==");
        assert_eq!(basic("a", "b"), "YTpi");
    }

    #[test]
    fn gzip_is_read_back() {
        use std::io::Read as _;
        let text = b"cpu,host=a usage=1 1\n".repeat(1000);
        let packed = gzip(&text);
        assert!(packed.len() < text.len() / 20);
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn options_that_cannot_be() {
        let check = |text: &str, key: &str, part: &str| {
            let config: HttpConfig = parse(text).unwrap();
            let error = config.check(&["http", "https", "unix"]).unwrap_err();
            let ErrorKind::BadConfig { key: Some(blamed), .. } = error.kind() else {
                panic!("{error}")
            };
            assert_eq!(blamed, key, "{text}");
            assert!(error.message().contains(part), "{text}: {error}");
        };
        check("urls = []", "urls", "at least one");
        check("urls = ['http://a', 'udp://b:1']", "urls.1", "`udp` is unknown");
        check("http_proxy = 'ftp://p'", "http_proxy", "is no proxy");
        check("http_proxy = ':'", "http_proxy", "is no URL");
        check("local_address = '10.0.0.1:99'", "local_address", "write `10.0.0.1` alone");
        check("local_address = '[::1]:99'", "local_address", "write `::1` alone");
        check("user_agent = \"a\\nb\"", "user_agent", "cannot stand");
        check("http_headers = { 'a b' = 'x' }", "http_headers", "`a b` is no header's name");
        check("tls_min_version = 'SSL3'", "tls_min_version", "is not spoken");
        for fine in
            ["local_address = '::1'", "local_address = '10.0.0.1:0'", "local_address = '[::1]'"]
        {
            let config: HttpConfig = parse(fine).unwrap();
            config.check(&["http"]).unwrap();
            assert!(config.local_ip().unwrap().is_some());
        }
    }

    #[test]
    fn serializer_options_are_those_that_are_set() {
        let config: HttpConfig = parse("").unwrap();
        assert_eq!(config.serializer_options(), "");
        let config: HttpConfig =
            parse("influx_uint_support = true\ninflux_omit_timestamp = true").unwrap();
        assert_eq!(
            config.serializer_options(),
            "influx_uint_support = true\ninflux_omit_timestamp = true\n"
        );
    }
}
