//! Servers that are down, come back, hang, or ask for a pause.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use headwater_http::influxdb::InfluxDb as Plugin;
use headwater_http::influxdb_v2::InfluxDbV2 as PluginV2;
use headwater_plugin_api::plugin::ErrorKind;
use headwater_tests::servers::influxdb::{InfluxDb, Options};
use headwater_tests::servers::tcp_port;

use crate::driver::{Driver, contents, run, same};

#[test]
fn a_server_that_is_not_there_yet() {
    let port = tcp_port();
    let mut output = Driver::new::<Plugin>(&format!("urls = ['http://127.0.0.1:{port}']"));
    let batches = [run(50, 0)];
    let error = output.write(&batches).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConnected);
    let expected = format!("http://127.0.0.1:{port}: Connection refused (os error 111)");
    assert_eq!(error.message(), expected);
    let db = InfluxDb::start_in(headwater_tests::paths::Folder::new(), port, Options::default());
    // Also without a new connection: the database is created when the server says it is not there.
    output.write(&batches).unwrap();
    same(&contents(&batches), &db.points("telegraf", ""));
}

#[test]
fn a_server_that_is_started_again_between_two_writes() {
    let mut db = InfluxDb::start(Options::default());
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']", db.url()));
    let mut written = Vec::new();
    for round in 0..3 {
        let batches = [run(50, round * 50)];
        output.write(&batches).unwrap();
        written.extend(contents(&batches));
        // The connection that is kept open dies with the server.
        db = db.restart();
    }
    same(&written, &db.points("telegraf", ""));
}

#[test]
fn a_database_that_is_dropped_while_we_write() {
    let db = InfluxDb::start(Options::default());
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']", db.url()));
    output.write(&[run(10, 0)]).unwrap();
    db.query("", "DROP DATABASE \"telegraf\"");
    let batches = [run(10, 10)];
    output.write(&batches).unwrap();
    same(&contents(&batches), &db.points("telegraf", ""));
    // Without leave to create it, points wait.
    db.query("", "DROP DATABASE \"telegraf\"");
    let config = format!("urls = ['{}']\nskip_database_creation = true", db.url());
    let error = Driver::new::<Plugin>(&config).write(&batches).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConnected);
    assert!(error.message().contains("database not found"), "{error}");
}

#[test]
fn a_connection_that_ended_with_a_request_under_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let mut bodies = 0;
        // The first connection answers once and is closed behind the next request's back.
        for (connection, answers) in [1, 0, 1].into_iter().enumerate() {
            let (mut stream, _) = listener.accept().unwrap();
            for _ in 0..answers {
                read_request(&mut stream);
                bodies += 1;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            }
            if connection < 2 {
                read_request(&mut stream);
            }
        }
        bodies
    });
    let config = format!("urls = ['http://127.0.0.1:{port}']\nbucket = 'b'");
    let mut output = Driver::new::<PluginV2>(&config);
    output.write(&[run(5, 0)]).unwrap();
    // Both connections end without an answer: once it is tried again at once, then by the agent.
    let error = output.write(&[run(5, 5)]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed, "{error}");
    output.write(&[run(5, 5)]).unwrap();
    assert_eq!(server.join().unwrap(), 2);
}

/// Answers each connection's first request with `answer`; with an empty one it never answers.
fn fake(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().take(20) {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            if answer.is_empty() {
                held.push(stream);
            } else {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    port
}

/// Reads one request; the bodies here are small.
fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        request.extend_from_slice(&buffer[..n]);
        if is_whole(&request) {
            break;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    request.len() >= head.len() + 4 + length
}

#[test]
fn a_server_that_never_answers() {
    let port = fake("");
    let config = format!(
        "urls = ['http://127.0.0.1:{port}']\nskip_database_creation = true\ntimeout = '200ms'"
    );
    let mut output = Driver::new::<Plugin>(&config);
    let start = Instant::now();
    let error = output.write(&[run(1, 0)]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert!(error.message().ends_with("no answer within 200ms"), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(200));
    // The call's own deadline ends it as well.
    let config = config.replace("200ms", "0s");
    let mut output = Driver::new::<Plugin>(&config);
    let start = Instant::now();
    let error = output.write_within(Duration::from_millis(300), &[run(1, 0)]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed, "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn pauses_that_are_asked_for() {
    let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 23\r\n\
                  Connection: close\r\n\r\n{\"error\":\"overloaded !\"}";
    let port = fake(answer);
    let url = format!("urls = ['http://127.0.0.1:{port}']\n");
    let v1 = Driver::new::<Plugin>(&format!("{url}skip_database_creation = true"));
    let v2 = Driver::new::<PluginV2>(&format!("{url}bucket = 'b'\ncontent_encoding = 'identity'"));
    let several = Driver::new::<PluginV2>(&format!("{url}bucket = 'b'\nconcurrent_writes = 3"));
    for mut output in [v1, v2, several] {
        let error = output.write(&[run(10, 0)]).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::RetryAfter(Duration::from_secs(7)), "{error}");
        assert!(error.message().contains("503 unavailable: overloaded !"), "{error}");
    }
}

#[test]
fn redirects_that_would_lose_the_body_are_not_followed() {
    let port = fake(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n",
    );
    let config = format!("urls = ['http://127.0.0.1:{port}']\nbucket = 'b'");
    let error = Driver::new::<PluginV2>(&config).write(&[run(1, 0)]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert!(error.message().contains("302 redirected to http://127.0.0.1:1/elsewhere"), "{error}");
}

#[test]
fn redirects_that_keep_the_body_are_followed() {
    let db = InfluxDb::start(Options::default());
    let location = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/write?db=telegraf\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n",
        db.url()
    );
    db.query("", "CREATE DATABASE \"telegraf\"");
    let port = fake(Box::leak(location.into_boxed_str()));
    let config = format!("urls = ['http://127.0.0.1:{port}']\nskip_database_creation = true");
    let batches = [run(10, 0)];
    Driver::new::<Plugin>(&config).write(&batches).unwrap();
    same(&contents(&batches), &db.points("telegraf", ""));
}

#[test]
fn the_rate_is_kept() {
    let port = fake("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    let config = format!(
        "urls = ['http://127.0.0.1:{port}']\nbucket = 'b'\nrate_limit = '100B'\nrate_limit_period = '1h'"
    );
    let mut output = Driver::new::<PluginV2>(&config);
    output.write(&[run(2, 0)]).unwrap();
    let error = output.write(&[run(2, 0)]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::RetryAfter(Duration::from_secs(3600)), "{error}");
}
