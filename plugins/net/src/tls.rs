//! TLS at the server's end: the options, what they make, and the stream over a socket that never
//! blocks.

use std::io::{self, Read, Write};
use std::sync::Arc;

use headwater_plugin_api::config::Secret;
use headwater_plugin_api::plugin::Error;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};

headwater_plugin_api::config! {
    pub struct TlsServerConfig {
        /// The file of the certificate, PEM, with what leads to its authority behind it. With
        /// `tls_key` it turns TLS on.
        pub tls_cert: String = String::new(),
        /// The file of the certificate's key, PEM, not encrypted.
        pub tls_key: String = String::new(),
        /// The password of an encrypted key; it must be empty.
        pub tls_key_pwd: Secret = Secret::default(),
        /// Files of the authorities, PEM, whose certificates clients must show. Empty: clients need
        /// none.
        pub tls_allowed_cacerts: Vec<String> = Vec::new(),
        /// Names one of which must stand in the client's certificate. Empty: any.
        pub tls_allowed_dns_names: Vec<String> = Vec::new(),
        /// The cipher suites to use, by their names such as "TLS_AES_128_GCM_SHA256". Empty: all that
        /// are safe.
        pub tls_cipher_suites: Vec<String> = Vec::new(),
        /// The oldest version to accept: "TLS12" or "TLS13".
        pub tls_min_version: String = "TLS12".into(),
        /// The newest version to accept: "TLS12" or "TLS13". Empty: no bound.
        pub tls_max_version: String = String::new(),
    }
}

impl TlsServerConfig {
    /// Whether any option asks for TLS.
    pub fn is_on(&self) -> bool {
        !self.tls_cert.is_empty()
            || !self.tls_key.is_empty()
            || !self.tls_allowed_cacerts.is_empty()
    }

    /// Checks what can be told without reading files.
    ///
    /// # Errors
    /// The option that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        if !self.tls_key_pwd.is_empty() {
            return Err(Error::config(
                "tls_key_pwd",
                "encrypted keys are not read; decrypt the file with `openssl pkey -in key -out \
                 key`, let its mode protect it, and remove tls_key_pwd",
            ));
        }
        if !self.is_on() {
            return Ok(());
        }
        for (key, value, other) in
            [("tls_cert", &self.tls_cert, "tls_key"), ("tls_key", &self.tls_key, "tls_cert")]
        {
            if value.is_empty() {
                return Err(Error::config(
                    key,
                    format!(
                        "a server needs a certificate and its key; set {key} too, or remove \
                             {other} and tls_allowed_cacerts"
                    ),
                ));
            }
        }
        if !self.tls_allowed_dns_names.is_empty() && self.tls_allowed_cacerts.is_empty() {
            return Err(Error::config(
                "tls_allowed_dns_names",
                "names are only worth something in certificates that are checked; set \
                 tls_allowed_cacerts too",
            ));
        }
        self.versions()?;
        self.suites()?;
        self.names()?;
        Ok(())
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
        let number = |key: &str, text: &str, default| match text {
            "" => Ok(default),
            "TLS12" => Ok(12),
            "TLS13" => Ok(13),
            "TLS10" | "TLS11" => Err(Error::config(
                key,
                format!("{text} is broken and not spoken any more; write \"TLS12\""),
            )),
            _ => Err(Error::config(
                key,
                format!("\"{text}\" is no version of TLS; write \"TLS12\" or \"TLS13\""),
            )),
        };
        let min = number("tls_min_version", &self.tls_min_version, 12)?;
        let max = number("tls_max_version", &self.tls_max_version, 13)?;
        if min > max {
            return Err(Error::config(
                "tls_min_version",
                format!("TLS{min} is above tls_max_version, TLS{max}; nothing lies between"),
            ));
        }
        let all = [(12, &rustls::version::TLS12), (13, &rustls::version::TLS13)];
        let between = all.into_iter().filter(|(version, _)| (min..=max).contains(version));
        Ok(between.map(|(_, version)| version).collect())
    }

    fn suites(&self) -> Result<Vec<SupportedCipherSuite>, Error> {
        let all = rustls::crypto::ring::ALL_CIPHER_SUITES;
        if self.tls_cipher_suites.is_empty() {
            return Ok(all.to_vec());
        }
        let mut suites = Vec::new();
        for wanted in &self.tls_cipher_suites {
            let before = suites.len();
            for suite in all {
                let fits = match wanted.to_ascii_lowercase().as_str() {
                    "all" | "secure" => true,
                    _ => suite_name(suite).eq_ignore_ascii_case(wanted),
                };
                if fits && !suites.contains(suite) {
                    suites.push(*suite);
                }
            }
            if suites.len() == before {
                let known: Vec<String> = all.iter().map(suite_name).collect();
                return Err(Error::config(
                    "tls_cipher_suites",
                    format!(
                        "\"{wanted}\" is not offered, or named twice; there are {}",
                        known.join(", ")
                    ),
                ));
            }
        }
        Ok(suites)
    }

    fn names(&self) -> Result<Vec<ServerName<'static>>, Error> {
        let names = self.tls_allowed_dns_names.iter().map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| {
                Error::config("tls_allowed_dns_names", format!("\"{name}\" is no DNS name"))
            })
        });
        names.collect()
    }

    /// Reads the files; `None` if TLS is off.
    ///
    /// # Errors
    /// A file cannot be read or holds something else; the sentence names it.
    pub fn server(&self) -> Result<Option<Arc<ServerConfig>>, Error> {
        if !self.is_on() {
            return Ok(None);
        }
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Error::not_connected(format!("TLS cannot be used: {what}: {error}"))
        };
        let chain = certificates("tls_cert", &self.tls_cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.tls_key)
            .map_err(|error| failed(&format!("tls_key {}", self.tls_key), &error))?;
        let provider = Arc::new(CryptoProvider {
            cipher_suites: self.suites()?,
            ..rustls::crypto::ring::default_provider()
        });
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions()?)
            .map_err(|error| failed("versions and cipher suites do not fit", &error))?;
        let builder = if self.tls_allowed_cacerts.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for path in &self.tls_allowed_cacerts {
                for certificate in certificates("tls_allowed_cacerts", path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| failed(&format!("tls_allowed_cacerts {path}"), &error))?;
                }
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| failed("tls_allowed_cacerts", &error))?;
            let names = self.names()?;
            builder.with_client_cert_verifier(match names.is_empty() {
                true => verifier,
                false => Arc::new(NamedClients { verifier, names }),
            })
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| failed(&format!("{} and {}", self.tls_cert, self.tls_key), &error))?;
        Ok(Some(Arc::new(config)))
    }
}

/// The name as the standards have it.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

fn certificates(key: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::not_connected(format!("TLS cannot be used: {key} {path}: {error}"))
    };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    let certificates: Result<Vec<_>, _> = read.collect();
    let certificates = certificates.map_err(|error| failed(&error))?;
    if certificates.is_empty() {
        return Err(failed(&"there is no certificate in PEM form in it"));
    }
    Ok(certificates)
}

/// Asks clients for a certificate that bears one of some names, besides being signed.
#[derive(Debug)]
struct NamedClients {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Vec<ServerName<'static>>,
}

impl ClientCertVerifier for NamedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let named = |name| rustls::client::verify_server_name(&certificate, name).is_ok();
        match self.names.iter().any(named) {
            true => Ok(verified),
            false => Err(rustls::CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// What was encrypted, over a transport that never blocks. A read drives the handshake too.
pub struct TlsStream<T> {
    transport: T,
    connection: ServerConnection,
    ended: bool,
}

impl<T: Read + Write> TlsStream<T> {
    /// The server's end of a new connection.
    ///
    /// # Errors
    /// The options do not make a connection.
    pub fn new(transport: T, config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = ServerConnection::new(config)
            .map_err(|error| Error::failed(format!("TLS cannot be used: {error}")))?;
        Ok(TlsStream { transport, connection, ended: false })
    }

    /// Whether the handshake is still going on.
    pub fn is_shaking_hands(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Sends what TLS itself has to say. What the kernel does not take now goes with the next read.
    fn answer(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.transport) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<T: Read + Write> Read for TlsStream<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.ended => {}
                // A peer that goes without a farewell has ended, as on a plain connection.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof || self.ended => {
                    return Ok(0);
                }
                Ok(0) => {
                    // The peer said farewell; so do we.
                    self.connection.send_close_notify();
                    let _ = self.answer();
                    self.ended = true;
                    return Ok(0);
                }
                result => return result,
            }
            let read = self.connection.read_tls(&mut self.transport)?;
            let processed = self.connection.process_new_packets();
            let answered = self.answer();
            if let Err(error) = processed {
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if read == 0 {
                if self.connection.is_handshaking() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the peer went in the middle of the handshake",
                    ));
                }
                self.ended = true;
            } else {
                answered?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<(), Error> {
        headwater_plugin_api::config::parse::<TlsServerConfig>(toml).unwrap().check()
    }

    #[test]
    fn off_unless_asked_for() {
        check("").unwrap();
        assert!(TlsServerConfig::default().server().unwrap().is_none());
    }

    #[test]
    fn wrong_options_are_named() {
        let pair = "tls_cert = 'c'\ntls_key = 'k'\n";
        check(pair).unwrap();
        check(&format!("{pair}tls_cipher_suites = ['TLS_AES_128_GCM_SHA256', 'secure']")).unwrap();
        check(&format!("{pair}tls_min_version = 'TLS13'")).unwrap();
        for (rest, words) in [
            ("tls_min_version = 'TLS10'", "broken"),
            ("tls_max_version = 'SSL3'", "\"SSL3\""),
            ("tls_min_version = 'TLS13'\ntls_max_version = 'TLS12'", "above"),
            ("tls_cipher_suites = ['RC4']", "TLS_AES_256_GCM_SHA384"),
            ("tls_key_pwd = 'x'", "openssl pkey"),
            ("tls_allowed_dns_names = ['a.example']", "tls_allowed_cacerts"),
            ("tls_allowed_cacerts = ['c']\ntls_allowed_dns_names = ['a b']", "\"a b\""),
        ] {
            let error = check(&format!("{pair}{rest}")).unwrap_err();
            assert!(error.message().contains(words), "{rest}: {error:?}");
        }
        assert!(check("tls_cert = 'c'").unwrap_err().message().contains("set tls_key"));
        assert!(check("tls_allowed_cacerts = ['c']").is_err());
    }

    #[test]
    fn missing_and_wrong_files_are_named() {
        let error = |toml: &str| {
            let config: TlsServerConfig = headwater_plugin_api::config::parse(toml).unwrap();
            config.server().unwrap_err().message().to_owned()
        };
        let missing = error("tls_cert = '/no/such.pem'\ntls_key = '/no/such.key'");
        assert!(missing.contains("/no/such.pem"), "{missing}");
        let empty = error("tls_cert = '/dev/null'\ntls_key = '/dev/null'");
        assert!(empty.contains("/dev/null") && empty.contains("no certificate"), "{empty}");
    }
}
