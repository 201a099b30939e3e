//! TLS from both ends: certificates are made here, the client is rustls over a blocking socket.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use headwater_plugin_api::plugin::Level;
use headwater_plugin_api::testkit::{self, context};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Rig, SocketListener, folder, rig};

/// A folder with an authority, a server's certificate, and clients' certificates of this and of
/// another authority.
struct Keys {
    folder: PathBuf,
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Keys {
    fn new(name: &str) -> Keys {
        let folder = folder(name);
        let keys = Keys { folder };
        let (ours, other) = (authority(), authority());
        std::fs::write(keys.path("ca.pem"), ours.pem()).unwrap();
        keys.make("server", &ours, "server.example");
        keys.make("client", &ours, "client.example");
        keys.make("stranger", &other, "client.example");
        keys
    }

    fn make(&self, file: &str, issuer: &CertifiedIssuer<'static, KeyPair>, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The options of a listener.
    fn toml(&self, more: &str) -> String {
        let path = |file| self.path(file).display().to_string();
        format!(
            "service_address = 'tcp://127.0.0.1:0'\ntls_cert = '{}'\ntls_key = '{}'\n{more}",
            path("server.pem"),
            path("server.key"),
        )
    }

    fn asking_clients(&self, more: &str) -> String {
        let ca = self.path("ca.pem").display().to_string();
        self.toml(&format!("tls_allowed_cacerts = ['{ca}']\n{more}"))
    }

    fn client(&self, certificate: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let load = |end: &str| self.path(&format!("{name}.{end}"));
                let chain = vec![CertificateDer::from_pem_file(load("pem")).unwrap()];
                let key = PrivateKeyDer::from_pem_file(load("key")).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

/// A client that sends, then says farewell or goes without, and tells how the server ended it.
fn send(
    rig: &Rig,
    config: Arc<ClientConfig>,
    data: Vec<u8>,
    farewell: bool,
) -> JoinHandle<io::Result<usize>> {
    let socket = TcpStream::connect(rig.address()).unwrap();
    std::thread::spawn(move || {
        let name = ServerName::try_from("server.example").unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket);
        stream.write_all(&data)?;
        stream.flush()?;
        if farewell {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        stream.sock.shutdown(std::net::Shutdown::Write)?;
        // A refusal comes here at the latest.
        stream.read(&mut [0; 1])
    })
}

#[test]
fn lines_over_tls() {
    let keys = Keys::new("tls-lines");
    let mut rig = rig(&keys.toml(""));
    rig.capacity = 10_000;
    let lines: Vec<u8> = (0..20_000).flat_map(|n| format!("m n={n}i\n").into_bytes()).collect();
    for farewell in [true, false] {
        rig.bytes.clear();
        rig.ended.clear();
        let client = send(&rig, keys.client(None), lines.clone(), farewell);
        rig.run(|rig| rig.ended.len() + rig.errors.len() == 1);
        let _ = client.join().unwrap();
        assert_eq!(rig.errors, Vec::<String>::new());
        assert_eq!(rig.text(), lines, "farewell {farewell}");
    }
}

#[test]
fn messages_and_packed_bytes_over_tls() {
    let keys = Keys::new("tls-messages");
    let mut rig = rig(&keys.toml("splitting_strategy = 'null'\ncontent_encoding = 'gzip'"));
    let client = send(&rig, keys.client(None), super::gzip(b"one\0two\0three"), true);
    rig.run(|rig| rig.ended.len() + rig.errors.len() == 1);
    client.join().unwrap().unwrap();
    assert_eq!(rig.messages(), ["one", "two", "three"]);
}

#[test]
fn clients_show_a_certificate_of_the_authority() {
    let keys = Keys::new("tls-clients");
    let mut rig = rig(&keys.asking_clients(""));
    for (certificate, passes) in [(Some("client"), true), (None, false), (Some("stranger"), false)]
    {
        let (ended, errors) = (rig.ended.len(), rig.errors.len());
        let client = send(&rig, keys.client(certificate), b"m a=1\n".to_vec(), true);
        rig.run(|rig| rig.ended.len() > ended || rig.errors.len() > errors);
        assert_eq!(client.join().unwrap().is_ok(), passes, "{certificate:?}");
        assert_eq!(rig.ended.len() > ended, passes, "{certificate:?}");
    }
    assert_eq!(rig.all_bytes(), 6);
    assert!(rig.errors.iter().all(|error| error.contains("127.0.0.1:")), "{:?}", rig.errors);
}

#[test]
fn names_in_certificates_are_checked() {
    let keys = Keys::new("tls-names");
    for (name, passes) in [("client.example", true), ("other.example", false)] {
        let mut rig = rig(&keys.asking_clients(&format!("tls_allowed_dns_names = ['{name}']")));
        let client = send(&rig, keys.client(Some("client")), b"m a=1\n".to_vec(), true);
        rig.run(|rig| rig.ended.len() + rig.errors.len() == 1);
        assert_eq!(client.join().unwrap().is_ok(), passes, "{name}");
        assert_eq!(rig.ended.len() == 1, passes, "{name}");
    }
}

#[test]
fn versions_and_suites_are_bounded() {
    let keys = Keys::new("tls-versions");
    let mut rig = rig(&keys.toml(
        "tls_min_version = 'TLS12'\ntls_max_version = 'TLS12'\n\
         tls_cipher_suites = ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256']",
    ));
    let socket = TcpStream::connect(rig.address()).unwrap();
    let config = keys.client(None);
    let client = std::thread::spawn(move || {
        let name = ServerName::try_from("server.example").unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket);
        stream.write_all(b"m a=1\n").unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let suite = stream.conn.negotiated_cipher_suite().unwrap().suite();
        (stream.conn.protocol_version().unwrap(), suite)
    });
    rig.run(|rig| rig.ended.len() + rig.errors.len() == 1);
    let (version, suite) = client.join().unwrap();
    assert_eq!(version, rustls::ProtocolVersion::TLSv1_2);
    assert_eq!(suite, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
}

#[test]
fn what_is_not_tls_is_closed() {
    let keys = Keys::new("tls-plain");
    let mut rig = rig(&keys.toml(""));
    let mut client = rig.connect();
    client.write_all(b"m a=1\nm a=2\nm a=3\n").unwrap();
    rig.run(|rig| rig.errors.len() == 1);
    assert_eq!(rig.all_bytes(), 0);
    let name = client.local_addr().unwrap().to_string();
    assert!(rig.errors[0].contains(&name), "{}", rig.errors[0]);
    // What TLS has to say to it comes first, then the end.
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&21), "an alert");

    // One that goes in the middle of the handshake.
    let client = rig.connect();
    drop(client);
    rig.run(|rig| rig.errors.len() == 2);
    assert!(rig.errors[1].contains("handshake"), "{}", rig.errors[1]);
}

#[test]
fn handshakes_have_a_timeout_although_nothing_else_has() {
    let keys = Keys::new("tls-silent");
    let watches = |toml: &str| rig(toml).intake.watches().len();
    // What the timer does is tested in the hub, with shorter times.
    assert_eq!(watches("service_address = 'tcp://127.0.0.1:0'"), 1);
    assert_eq!(watches(&keys.toml("")), 2);
}

#[test]
fn files_that_do_not_fit_are_named_at_connect() {
    let keys = Keys::new("tls-files");
    let fails = |cert: &Path, key: &Path| {
        let toml = format!(
            "service_address = 'tcp://127.0.0.1:0'\ntls_cert = '{}'\ntls_key = '{}'",
            cert.display(),
            key.display()
        );
        let mut driven = testkit::service::<SocketListener>(&toml).unwrap();
        let error = driven.instance.base.connect(&context(0)).unwrap_err();
        assert!(driven.host.logs.lock().unwrap().iter().all(|(l, _)| *l != Level::Information));
        error.message().to_owned()
    };
    let (cert, key) = (keys.path("server.pem"), keys.path("server.key"));
    assert!(fails(&keys.path("none.pem"), &key).contains("none.pem"));
    assert!(fails(&cert, &cert).contains("tls_key"));
    assert!(fails(&cert, &keys.path("client.key")).contains("client.key"));
}
