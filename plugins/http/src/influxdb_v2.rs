//! `influxdb_v2`: writes to InfluxDB 2.x, 3.x and what speaks like them.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::config;
use headwater_plugin_api::config::{Duration, Secret};
use headwater_plugin_api::plugin::{Context, Counter, Error, ErrorKind, Host, Output, Plugin};
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::client::{
    Encoding, Endpoint, HttpConfig, Place, Request, authorization, endpoints, gzip, join,
};
use crate::influxdb::{join_errors, tell_unnamed};
use crate::points::{Lines, Points};
use crate::rate::RateLimit;
use crate::route::{Destination, Router, Source};
use crate::write::{Attempt, Stop, Verdict, verdict};

/// Requests at the same time, at most.
const CONCURRENT_MAX: u64 = 64;

config! {
    /// Writes to InfluxDB 2.x and 3.x, VictoriaMetrics and whatever else takes line protocol at
    /// `/api/v2/write`.
    pub struct InfluxDbV2Config {
        #[flatten]
        pub http: HttpConfig = HttpConfig::default(),
        /// The token that the server knows us by.
        pub token: Secret = Secret::default(),
        /// The organization.
        pub organization: String = String::new(),
        /// The bucket, which must be there.
        pub bucket: String = String::new(),
        /// The tag whose value names the bucket, for points that have it.
        pub bucket_tag: String = String::new(),
        /// Take `bucket_tag` off the points.
        pub exclude_bucket_tag: bool = false,
        /// Bytes of line protocol, before packing, in each `rate_limit_period`; `unlimited` for no
        /// bound. A single write that is larger is held against the periods that follow.
        pub rate_limit: String = "unlimited".into(),
        /// The period of `rate_limit`.
        pub rate_limit_period: Duration = Duration::ZERO,
        /// Parts into which a write is cut, which are then sent at the same time. With more than one
        /// they arrive in no order.
        pub concurrent_writes: u64 = 1,
    }
    refused {
        "ping_timeout" = "connections speak HTTP/1.1, which has no ping; `timeout` ends dead ones, remove it",
        "read_idle_timeout" = "connections speak HTTP/1.1, which has no ping; `timeout` ends dead ones, remove it",
    }
}

pub struct InfluxDbV2 {
    config: InfluxDbV2Config,
    places: Vec<Place>,
    host: Host,
    router: Router,
    limit: Option<RateLimit>,
    servers: Vec<Endpoint>,
    lines: Option<Box<dyn Lines>>,
    buffer: Vec<u8>,
    authorization: Option<HeaderValue>,
    /// Where the next write begins among the servers.
    next: usize,
    unnamed: Counter,
}

impl Plugin for InfluxDbV2 {
    type Config = InfluxDbV2Config;
    const NAME: &'static str = "influxdb_v2";
    const SUMMARY: &'static str = "Writes to InfluxDB 2.x and 3.x over HTTP or a Unix socket.";

    fn new(config: InfluxDbV2Config, host: Host) -> Result<Self, Error> {
        let places = config.http.check(&["http", "https", "unix"])?;
        let limit = RateLimit::new(&config.rate_limit, config.rate_limit_period.nanos())?;
        if config.concurrent_writes > CONCURRENT_MAX {
            let message = format!("at most {CONCURRENT_MAX}, not {}", config.concurrent_writes);
            return Err(Error::config("concurrent_writes", message));
        }
        let router = Router::new(vec![Source {
            tag: config.bucket_tag.clone(),
            exclude: config.exclude_bucket_tag,
            default: config.bucket.clone(),
        }]);
        let next = host.now() as usize / 1000;
        let unnamed = host.counter("refused_unnamed");
        Ok(InfluxDbV2 {
            config,
            places,
            host,
            router,
            limit,
            servers: Vec::new(),
            lines: None,
            buffer: Vec::new(),
            authorization: None,
            next,
            unnamed,
        })
    }

    fn connect(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        let http = &self.config.http;
        if self.lines.is_none() {
            self.lines =
                Some(Box::new(self.host.serializer("influx", &http.serializer_options())?));
        }
        self.authorization = match self.config.token.is_empty() {
            true => None,
            false => Some(authorization("Token", &self.host.secret(self.config.token.expose())?)?),
        };
        self.servers = endpoints(http, &self.places, &self.host)?;
        Ok(())
    }

    fn stop(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        self.servers.clear();
        Ok(())
    }
}

/// The URL to write to.
fn write_url(base: &Url, organization: &str, to: &Destination) -> Url {
    let bucket = to.names.first().map_or("", String::as_str);
    join(base, "/api/v2/write", &[("org", organization), ("bucket", bucket)])
}

impl Output for InfluxDbV2 {
    fn write(&mut self, cx: &Context<'_>, batches: &[Batch]) -> Result<(), Error> {
        let InfluxDbV2 {
            config,
            host,
            router,
            limit,
            servers,
            lines,
            buffer,
            authorization,
            next,
            ..
        } = self;
        let Some(lines) = lines else { return Err(Error::not_connected("not connected yet")) };
        let total = batches.iter().map(Batch::len).sum();
        let routes = router.route(batches);
        if let Some(limit) = limit {
            let mut bytes = 0;
            for (_, points) in &routes {
                buffer.clear();
                points.append_to(cx, lines.as_mut(), buffer)?;
                bytes += buffer.len() as u64;
            }
            limit.admit(cx.now(), bytes).map_err(|pause| {
                Error::new(ErrorKind::RetryAfter(pause), "the bytes of `rate_limit` are used up")
            })?;
        }
        let mut errors = Vec::new();
        let first = *next;
        *next = next.wrapping_add(1);
        for at in 0..servers.len() {
            let endpoint = &servers[first.wrapping_add(at) % servers.len()];
            let mut attempt = Attempt::new(cx, lines.as_mut(), buffer);
            let to = Http { config, endpoint, authorization };
            match to.write(cx, &routes, &mut attempt) {
                Ok(()) => {
                    tell_unnamed(&attempt, host, &self.unnamed);
                    return attempt.conclude(total);
                }
                Err(error) => errors.push(error.context(&endpoint.name)),
            }
            if cx.is_cancelled() {
                break;
            }
        }
        Err(join_errors(errors))
    }
}

/// One server, and what goes with each request to it.
struct Http<'a> {
    config: &'a InfluxDbV2Config,
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
            let url = write_url(&self.endpoint.base, &self.config.organization, to);
            let mut send = |body: &[u8]| self.endpoint.send(cx, self.request(&url, body));
            let mut parts = vec![points.clone()];
            if self.config.concurrent_writes > 1 {
                parts = self.write_at_once(cx, &url, points, attempt)?;
            }
            for part in parts {
                match attempt.write(part, &mut send) {
                    Ok(()) => {}
                    Err(Stop::Error(error)) => return Err(error),
                    // What one tag's value asks for must not stop all others.
                    Err(Stop::Closed(why)) if to.by_tag => {
                        attempt.refuse_for(points.rows(), || why);
                        break;
                    }
                    Err(Stop::Closed(why)) => {
                        closed = Some(Error::not_connected(why));
                        break;
                    }
                }
            }
        }
        closed.map_or(Ok(()), Err)
    }

    /// Sends parts at the same time and returns those that are not simply written.
    fn write_at_once<'p>(
        &self,
        cx: &Context<'_>,
        url: &Url,
        points: &Points<'_>,
        attempt: &mut Attempt<'_>,
    ) -> Result<Vec<Points<'p>>, Error> {
        let count = usize::try_from(self.config.concurrent_writes).unwrap_or(1);
        let mut parts = points.split(count);
        let mut requests = Vec::with_capacity(parts.len());
        for part in &parts {
            attempt.buffer.clear();
            part.append_to(cx, attempt.lines, attempt.buffer)?;
            requests.push(self.request(url, attempt.buffer));
        }
        let mut answers = self.endpoint.send_all(cx, requests).into_iter();
        let mut failed = None;
        parts.retain(|_| match answers.next() {
            Some(Ok(answer)) => verdict(&answer) != Verdict::Written,
            Some(Err(error)) => {
                failed = Some(error);
                true
            }
            None => true,
        });
        failed.map_or(Ok(parts), Err)
    }

    fn request(&self, url: &Url, lines: &[u8]) -> Request {
        let packed = self.config.http.content_encoding == Encoding::Gzip;
        Request {
            url: url.clone(),
            content_type: "text/plain; charset=utf-8",
            authorization: self.authorization.clone(),
            gzip: packed,
            body: if packed { gzip(lines) } else { lines.to_vec() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::testkit;

    #[test]
    fn urls_name_organization_and_bucket() {
        let base = Url::parse("https://h/base/").unwrap();
        let to = Destination { names: vec!["a/b".into()], by_tag: false };
        assert_eq!(
            write_url(&base, "my org", &to).as_str(),
            "https://h/base/api/v2/write?org=my+org&bucket=a%2Fb"
        );
    }

    #[test]
    fn options_that_cannot_be() {
        let check = |text: &str, part: &str| {
            let error = testkit::output::<InfluxDbV2>(text).err().unwrap();
            assert!(error.message().contains(part), "{text}: {error}");
        };
        check("urls = ['udp://h:1']", "`udp` is unknown");
        check("rate_limit = '5MB'", "rate_limit_period");
        check("concurrent_writes = 1000", "at most 64");
        check("ping_timeout = '15s'", "has no ping");
        check("read_idle_timeout = '30s'", "has no ping");
        check("bucket_tags = 'x'", "bucket_tag");
        check("urls = []", "at least one");
        check("tls_key_pwd = 'x'", "decrypt the key");
    }

    #[test]
    fn the_defaults_are_telegrafs() {
        let config = InfluxDbV2Config::default();
        assert_eq!(config.http.timeout, Duration::from_secs(5));
        assert_eq!(config.http.content_encoding, Encoding::Gzip);
        testkit::output::<InfluxDbV2>("rate_limit = '5MB'\nrate_limit_period = '1m'").unwrap();
    }
}
