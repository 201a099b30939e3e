//! Users, passwords and certificates.

use headwater_http::influxdb::InfluxDb as Plugin;
use headwater_plugin_api::plugin::ErrorKind;
use headwater_tests::paths::Folder;
use headwater_tests::servers::influxdb::{InfluxDb, Options};
use headwater_tests::servers::tls::{self, Certificate};

use crate::driver::{Driver, contents, run, same};

#[test]
fn user_and_password() {
    let db = InfluxDb::start(Options { auth: true, ..Options::default() });
    let options = |user: &str, password: &str| {
        format!("urls = ['{}']\nusername = '{user}'\npassword = '{password}'", db.url())
    };
    let batches = [run(20, 0)];
    for (user, password) in [("", ""), ("admin", "wrong"), ("nobody", "secret")] {
        let mut output = Driver::new::<Plugin>(&options(user, password));
        let log = output.log();
        assert!(log[0].contains("is not created: 401 unauthorized"), "{log:?}");
        let error = output.write(&batches).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::NotConnected, "{error}");
        assert!(error.message().contains("401 unauthorized"), "{error}");
        assert!(error.message().contains(&db.url()), "{error}");
        assert!(!error.message().contains("wrong"), "{error}");
        // What connecting again says once more is not logged once more.
        output.connect().unwrap();
        assert_eq!(output.log().len(), 1, "{:?}", output.log());
    }
    // The password as a reference to a secret store.
    let mut output = Driver::new::<Plugin>(&options("admin", "@{test:password}"));
    output.write(&batches).unwrap();
    same(&contents(&batches), &db.points("telegraf", ""));
}

#[test]
fn a_user_without_rights() {
    let db = InfluxDb::start(Options { auth: true, ..Options::default() });
    for query in [
        "CREATE DATABASE \"own\"",
        "CREATE DATABASE \"other\"",
        "CREATE USER \"agent\" WITH PASSWORD 'pässword'",
        "GRANT WRITE ON \"own\" TO \"agent\"",
    ] {
        db.query("", query);
    }
    let options = |database: &str| {
        format!(
            "urls = ['{}']\nusername = 'agent'\npassword = 'pässword'\ndatabase = '{database}'\n\
             skip_database_creation = true",
            db.url()
        )
    };
    let batches = [run(20, 0)];
    Driver::new::<Plugin>(&options("own")).write(&batches).unwrap();
    same(&contents(&batches), &db.points("own", ""));
    // It is not ours to write to: kept, for an administrator may grant it.
    let error = Driver::new::<Plugin>(&options("other")).write(&batches).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConnected);
    assert!(error.message().contains("403 forbidden"), "{error}");
    db.query("", "GRANT WRITE ON \"other\" TO \"agent\"");
    Driver::new::<Plugin>(&options("other")).write(&batches).unwrap();
}

struct Tls {
    db: InfluxDb,
    _folder: Folder,
    authority: Certificate,
}

const HOSTS: &str = "DNS:influx.example,IP:127.0.0.1";

/// A server whose certificate an authority signed.
fn signed() -> Tls {
    let folder = Folder::new();
    let authority = tls::self_signed(&folder, "authority", "");
    let certificate = tls::signed(&folder, "server", HOSTS, &authority);
    let db = InfluxDb::start(Options { tls: Some(certificate), ..Options::default() });
    Tls { db, _folder: folder, authority }
}

fn refused(config: &str, part: &str) {
    let mut output = Driver::new::<Plugin>(config);
    let error = output.write(&[run(1, 0)]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotConnected, "{error}");
    assert!(error.message().contains(part), "{error}");
}

#[test]
fn a_certificate_is_checked_against_its_authority() {
    let Tls { db, authority, _folder } = signed();
    let url = format!("urls = ['{}']\n", db.url());
    refused(&url, "UnknownIssuer");
    let ca = format!("{url}tls_ca = {:?}\n", authority.cert);
    let batches = [run(100, 0)];
    Driver::new::<Plugin>(&ca).write(&batches).unwrap();
    same(&contents(&batches), &db.points("telegraf", ""));
    for more in [
        "tls_min_version = 'TLS13'",
        "tls_cipher_suites = ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256']",
        "tls_server_name = 'influx.example'",
    ] {
        Driver::new::<Plugin>(&format!("{ca}{more}")).write(&batches).unwrap();
    }
    refused(&format!("{ca}tls_server_name = 'other.example'"), "other.example");
    Driver::new::<Plugin>(&format!("{url}insecure_skip_verify = true")).write(&batches).unwrap();
    // Plain HTTP to a TLS port is no word of the database about the points.
    let plain = url.replace("https://", "http://");
    let error = Driver::new::<Plugin>(&plain).write(&batches).unwrap_err();
    assert!(!matches!(error.kind(), ErrorKind::Refused | ErrorKind::Partial(_)), "{error}");
}

#[test]
fn a_certificate_of_its_own_authority_is_trusted_if_it_is_named() {
    let folder = Folder::new();
    let own = tls::self_signed(&folder, "own", HOSTS);
    let other = tls::self_signed(&folder, "other", HOSTS);
    let db = InfluxDb::start(Options { tls: Some(own.clone()), ..Options::default() });
    let config = |tls: &str| format!("urls = ['{}']\n{tls}", db.url());
    let batches = [run(10, 0)];
    Driver::new::<Plugin>(&config(&format!("tls_ca = {:?}", own.cert))).write(&batches).unwrap();
    same(&contents(&batches), &db.points("telegraf", ""));
    refused(&config(&format!("tls_ca = {:?}", other.cert)), "certificate");
    refused(
        &config(&format!("tls_ca = {:?}\ntls_server_name = 'x.example'", own.cert)),
        "certificate",
    );
}

#[test]
fn a_client_certificate_is_read_with_its_key() {
    let Tls { db, authority, _folder: folder } = signed();
    let client = tls::signed(&folder, "client", "DNS:client", &authority);
    let other = tls::signed(&folder, "other", "DNS:client", &authority);
    let config = |key: &Certificate| {
        format!(
            "urls = ['{}']\ntls_ca = {:?}\ntls_cert = {:?}\ntls_key = {:?}",
            db.url(),
            authority.cert,
            client.cert,
            key.key
        )
    };
    Driver::new::<Plugin>(&config(&client)).write(&[run(10, 0)]).unwrap();
    let error = Driver::made::<Plugin>(&config(&other)).connected().err().unwrap();
    assert!(error.message().contains("does not fit"), "{error}");
}
