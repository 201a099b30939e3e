//! InfluxDB 1.6.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;

use super::tls::Certificate;
use super::web::{self, Place};
use super::{Server, program, tcp_port, udp_port};
use crate::paths::Folder;
use crate::points::{Point, Value};

/// What differs from its defaults.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Ask for user and password; there is a user `admin` with the password `secret`.
    pub auth: bool,
    /// Bytes of a request, unpacked.
    pub max_body_size: Option<u64>,
    /// Listen with this certificate. Queries of the test go over the Unix socket.
    pub tls: Option<Certificate>,
    /// The database for what comes over UDP.
    pub udp_database: Option<String>,
}

/// A running server.
pub struct InfluxDb {
    server: Server,
    /// Where it takes writes.
    pub port: u16,
    /// Where it takes datagrams.
    pub udp_port: u16,
    unix: PathBuf,
    options: Options,
}

impl InfluxDb {
    /// Starts one with an empty folder.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(options: Options) -> InfluxDb {
        InfluxDb::start_in(Folder::new(), tcp_port(), options)
    }

    /// Starts one in the folder that another one left.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_in(folder: Folder, port: u16, options: Options) -> InfluxDb {
        let udp_port = udp_port();
        let unix = folder.join("socket");
        let here = folder.path().display();
        let tls = options.tls.as_ref().map_or(String::new(), |tls| {
            format!(
                "https-enabled = true\nhttps-certificate = {:?}\nhttps-private-key = {:?}\n",
                tls.cert, tls.key
            )
        });
        let body =
            options.max_body_size.map_or(String::new(), |max| format!("max-body-size = {max}\n"));
        let udp = options.udp_database.as_ref().map_or(String::new(), |database| {
            format!(
                "[[udp]]\nenabled = true\nbind-address = \"127.0.0.1:{udp_port}\"\n\
                 database = {database:?}\nbatch-timeout = \"10ms\"\n"
            )
        });
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n\
             [meta]\ndir = \"{here}/meta\"\n\
             [data]\ndir = \"{here}/data\"\nwal-dir = \"{here}/wal\"\n\
             [monitor]\nstore-enabled = false\n\
             [continuous_queries]\nenabled = false\n\
             [http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\nauth-enabled = {auth}\n\
             unix-socket-enabled = true\nbind-socket = {unix:?}\n{body}{tls}{udp}",
            rpc = tcp_port(),
            auth = options.auth,
        );
        let config = folder.write("influxdb.conf", config);
        let mut command = Command::new(program("influxd", "influxdb"));
        command.arg("-config").arg(config);
        // Its memory is bounded by collecting early: many of them run beside each other.
        command.env("GOGC", "50");
        let place = Place::Unix(unix.clone());
        let server = Server::start("influxd", command, folder, || {
            web::ask(&place, "GET", "/ping", "").is_ok_and(|(status, _)| status == 204)
                && std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let db = InfluxDb { server, port, udp_port, unix, options };
        if db.options.auth {
            db.query("", "CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES");
        }
        db
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The URL of its Unix socket.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.unix.display())
    }

    /// Ends it as a crash would and starts it again on the same data and port.
    #[must_use]
    pub fn restart(self) -> InfluxDb {
        let InfluxDb { server, port, options, .. } = self;
        InfluxDb::start_in(server.kill(), port, options)
    }

    /// Ends it as a crash would, and leaves its folder.
    pub fn kill(self) -> (Folder, u16) {
        (self.server.kill(), self.port)
    }

    /// Asks in InfluxQL.
    ///
    /// # Panics
    /// If the answer is none, or an error.
    pub fn query(&self, database: &str, query: &str) -> Json {
        let auth = if self.options.auth { "u=admin&p=secret&" } else { "" };
        let target = format!("/query?{auth}db={}&epoch=ns", web::encode(database));
        let body = format!("q={}", web::encode(query));
        let place = Place::Unix(self.unix.clone());
        let (status, text) = web::ask(&place, "POST", &target, &body)
            .unwrap_or_else(|error| panic!("{query}: {error}. The log:\n{}", self.server.log()));
        assert_eq!(status, 200, "{query}: {text}");
        let json: Json =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{query}: {error}: {text}"));
        let result = json["results"][0].clone();
        assert!(result["error"].is_null(), "{query}: {text}");
        result
    }

    /// The names that a `SHOW` statement gives.
    pub fn show(&self, database: &str, query: &str) -> Vec<String> {
        let mut names = Vec::new();
        for series in self.query(database, query)["series"].as_array().into_iter().flatten() {
            for row in series["values"].as_array().into_iter().flatten() {
                names.extend(row[0].as_str().map(str::to_owned));
            }
        }
        names
    }

    /// All points of a database (and retention policy, if one is named), of all measurements.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn points(&self, database: &str, policy: &str) -> Vec<Point> {
        let mut points = Vec::new();
        for name in self.show(database, "SHOW MEASUREMENTS") {
            let kinds = self.kinds(database, policy, &name);
            let from =
                if policy.is_empty() { String::new() } else { format!("{}.", ident(policy)) };
            let query = format!("SELECT * FROM {from}{} GROUP BY *", ident(&name));
            let result = self.query(database, &query);
            for series in result["series"].as_array().into_iter().flatten() {
                read_series(&name, series, &kinds, &mut points);
            }
        }
        points
    }

    fn kinds(&self, database: &str, policy: &str, name: &str) -> BTreeMap<String, String> {
        let from = if policy.is_empty() { String::new() } else { format!("{}.", ident(policy)) };
        let result = self.query(database, &format!("SHOW FIELD KEYS FROM {from}{}", ident(name)));
        let mut kinds = BTreeMap::new();
        for row in result["series"][0]["values"].as_array().into_iter().flatten() {
            if let (Some(key), Some(kind)) = (row[0].as_str(), row[1].as_str()) {
                kinds.insert(key.to_owned(), kind.to_owned());
            }
        }
        kinds
    }
}

/// A name in InfluxQL.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn read_series(
    name: &str,
    series: &Json,
    kinds: &BTreeMap<String, String>,
    points: &mut Vec<Point>,
) {
    let mut tags = BTreeMap::new();
    for (key, value) in series["tags"].as_object().into_iter().flatten() {
        // Tags that other series of the measurement have are empty here.
        if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
            tags.insert(key.clone(), value.to_owned());
        }
    }
    let columns: Vec<&str> =
        series["columns"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    for row in series["values"].as_array().into_iter().flatten() {
        let mut point = Point {
            name: name.to_owned(),
            tags: tags.clone(),
            fields: BTreeMap::new(),
            time: None,
        };
        for (column, value) in columns.iter().zip(row.as_array().into_iter().flatten()) {
            if *column == "time" {
                point.time = value.as_i64();
                continue;
            }
            let kind = kinds.get(*column).map_or("", String::as_str);
            if let Some(value) = read_value(value, kind) {
                point.fields.insert((*column).to_owned(), value);
            }
        }
        points.push(point);
    }
}

/// JSON does not tell `1` from `1.0`: the field's type does.
fn read_value(value: &Json, kind: &str) -> Option<Value> {
    match value {
        Json::Null => None,
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::String(value) => Some(Value::Text(value.clone())),
        Json::Number(number) if kind == "integer" => number.as_i64().map(Value::I64),
        Json::Number(number) if kind == "unsigned" => number.as_u64().map(Value::U64),
        other => other.as_f64().map(Value::F64),
    }
}
