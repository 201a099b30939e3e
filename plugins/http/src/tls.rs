//! TLS of clients: Telegraf's `tls_*` options as a rustls configuration.

use std::path::Path;
use std::sync::Arc;

use headwater_plugin_api::config;
use headwater_plugin_api::plugin::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};

config! {
    /// TLS for `https://`.
    pub struct TlsConfig {
        /// A PEM file of the authorities to trust, instead of the system's. A server's own
        /// certificate may stand in it.
        pub tls_ca: String = String::new(),
        /// A PEM file with the certificate to show to the server.
        pub tls_cert: String = String::new(),
        /// A PEM file with the key of `tls_cert`, not encrypted.
        pub tls_key: String = String::new(),
        /// The oldest version to speak: `TLS12` or `TLS13`.
        pub tls_min_version: String = "TLS12".into(),
        /// Cipher suites to offer with TLS 1.2, by their standard names, or `secure` for all. Those
        /// of TLS 1.3 are always offered.
        pub tls_cipher_suites: Vec<String> = Vec::new(),
        /// The name that the server's certificate must carry, instead of the URL's.
        pub tls_server_name: String = String::new(),
        /// Talk to whoever answers: no certificate is checked.
        pub insecure_skip_verify: bool = false,
    }
    refused {
        "tls_key_pwd" = "encrypted keys are not read; decrypt the key with `openssl pkey` and let only the agent's user read it",
        "tls_enable" = "the scheme of the URL says whether to use TLS; remove it",
        "tls_renegotiation_method" = "a server that renegotiates is always refused; remove it",
        "ssl_ca" = "it is called `tls_ca` now",
        "ssl_cert" = "it is called `tls_cert` now",
        "ssl_key" = "it is called `tls_key` now",
    }
}

static TLS12_UP: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];
static TLS13_UP: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

impl TlsConfig {
    /// What the options alone can tell.
    ///
    /// # Errors
    /// At the key that is to blame.
    pub fn check(&self) -> Result<(), Error> {
        self.versions()?;
        self.provider()?;
        if self.tls_cert.is_empty() != self.tls_key.is_empty() {
            let (there, lacking) = match self.tls_cert.is_empty() {
                true => ("tls_key", "tls_cert"),
                false => ("tls_cert", "tls_key"),
            };
            return Err(Error::config(
                there,
                format!("`{there}` is of no use without `{lacking}`"),
            ));
        }
        if !self.tls_server_name.is_empty() {
            self.server_name()?;
        }
        Ok(())
    }

    fn versions(&self) -> Result<&'static [&'static SupportedProtocolVersion], Error> {
        match self.tls_min_version.as_str() {
            "" | "TLS12" => Ok(&TLS12_UP),
            "TLS13" => Ok(&TLS13_UP),
            other => Err(Error::config(
                "tls_min_version",
                format!("`{other}` is not spoken; write \"TLS12\" or \"TLS13\""),
            )),
        }
    }

    fn server_name(&self) -> Result<ServerName<'static>, Error> {
        ServerName::try_from(self.tls_server_name.clone()).map_err(|_| {
            let message =
                format!("`{}` is neither a host name nor an address", self.tls_server_name);
            Error::config("tls_server_name", message)
        })
    }

    fn provider(&self) -> Result<CryptoProvider, Error> {
        let mut provider = ring::default_provider();
        let named = &self.tls_cipher_suites;
        if named.is_empty() || named.iter().any(|name| name == "secure" || name == "all") {
            return Ok(provider);
        }
        let known: Vec<String> =
            provider.cipher_suites.iter().filter(|s| is_tls12(s)).map(standard_name).collect();
        for name in named {
            let is_tls13 = name.starts_with("TLS_AES_") || name.starts_with("TLS_CHACHA20_");
            if !is_tls13 && !known.iter().any(|own| is_named(own, name)) {
                let message = format!(
                    "there is no cipher suite `{name}`; the choices are {}",
                    known.join(", ")
                );
                return Err(Error::config("tls_cipher_suites", message));
            }
        }
        provider.cipher_suites.retain(|suite| {
            !is_tls12(suite) || named.iter().any(|name| is_named(&standard_name(suite), name))
        });
        Ok(provider)
    }

    /// The configuration for rustls. Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read or does not hold what it should.
    pub fn client(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(self.provider()?);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions()?)
            .map_err(|error| Error::failed(format!("TLS cannot be set up: {error}")))?;
        let verifier = Arc::new(self.verifier(provider)?);
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        if self.tls_cert.is_empty() {
            return Ok(builder.with_no_client_auth());
        }
        let chain = certificates(&self.tls_cert, "tls_cert")?;
        let key = PrivateKeyDer::from_pem_file(&self.tls_key).map_err(|error| {
            Error::failed(format!("tls_key {} holds no readable key: {error}", self.tls_key))
        })?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            Error::failed(format!(
                "tls_key {} does not fit tls_cert {}: {error}",
                self.tls_key, self.tls_cert
            ))
        })
    }

    /// A configuration that trusts nobody, for clients that have no use for TLS: reading the system's
    /// authorities takes milliseconds and memory.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn unused(&self) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider()?))
            .with_protocol_versions(self.versions()?)
            .map_err(|error| Error::failed(format!("TLS cannot be set up: {error}")))?;
        Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Verifier, Error> {
        let name = match self.tls_server_name.is_empty() {
            true => None,
            false => Some(self.server_name()?),
        };
        if self.insecure_skip_verify {
            return Ok(Verifier { chain: None, pinned: Vec::new(), name, provider });
        }
        let mut roots = RootCertStore::empty();
        let pinned = if self.tls_ca.is_empty() {
            for root in rustls_native_certs::load_native_certs().certs {
                // A system's store may hold a few that are no authority in rustls' eyes.
                let _ = roots.add(root);
            }
            Vec::new()
        } else {
            let own = certificates(&self.tls_ca, "tls_ca")?;
            for root in &own {
                roots.add(root.clone()).map_err(|error| {
                    Error::failed(format!("tls_ca {} holds no authority: {error}", self.tls_ca))
                })?;
            }
            own
        };
        if roots.is_empty() {
            return Err(Error::failed(
                "the system has no certificate authorities; install ca-certificates or name a file in tls_ca",
            ));
        }
        let chain =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| Error::failed(format!("tls_ca cannot be used: {error}")))?;
        Ok(Verifier { chain: Some(chain), pinned, name, provider })
    }
}

fn certificates(file: &str, key: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(Path::new(file))
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(Error::failed(format!("{key} {file} holds no certificate in PEM")))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(Error::failed(format!("{key} {file} cannot be read: {error}"))),
    }
}

fn is_tls12(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_none()
}

fn standard_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite())
}

/// Go writes the ChaCha20 suites without their hash.
fn is_named(own: &str, name: &str) -> bool {
    own == name || own.strip_suffix("_SHA256") == Some(name)
}

/// Checks the chain, then the name that was asked for instead of the URL's.
#[derive(Debug)]
struct Verifier {
    /// `None` if nothing is checked.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates of `tls_ca`: a server that shows one of them is who it should be, also where it
    /// is its own authority, which the chain's rules forbid.
    pinned: Vec<CertificateDer<'static>>,
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let name = self.name.as_ref().unwrap_or(server_name);
        match chain.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Other(_) | CertificateError::UnknownIssuer,
            )) if self.pinned.iter().any(|own| own == end_entity) => {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::config::parse;
    use headwater_plugin_api::plugin::ErrorKind;

    fn options(text: &str) -> TlsConfig {
        parse(text).unwrap()
    }

    #[test]
    fn options_are_checked_without_reading_files() {
        let check = |text: &str, key: &str, part: &str| {
            let error = options(text).check().unwrap_err();
            let ErrorKind::BadConfig { key: Some(blamed), .. } = error.kind() else {
                panic!("{error}")
            };
            assert_eq!(blamed, key, "{text}");
            assert!(error.message().contains(part), "{error}");
        };
        check("tls_min_version = 'TLS10'", "tls_min_version", "\"TLS12\" or \"TLS13\"");
        check("tls_cert = '/c.pem'", "tls_cert", "without `tls_key`");
        check("tls_key = '/k.pem'", "tls_key", "without `tls_cert`");
        check("tls_server_name = 'a b'", "tls_server_name", "neither a host name");
        check(
            "tls_cipher_suites = ['RC4']",
            "tls_cipher_suites",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        );
        options("tls_min_version = 'TLS13'").check().unwrap();
        options("tls_cert = 'c'\ntls_key = 'k'").check().unwrap();
    }

    #[test]
    fn cipher_suites_narrow_tls12_alone() {
        let suites = |text: &str| {
            let provider = options(text).provider().unwrap();
            let tls12 = provider.cipher_suites.iter().filter(|s| is_tls12(s)).count();
            (tls12, provider.cipher_suites.len() - tls12)
        };
        let (all, tls13) = suites("");
        assert!(all > 1 && tls13 > 0);
        assert_eq!(suites("tls_cipher_suites = ['secure']"), (all, tls13));
        assert_eq!(
            suites("tls_cipher_suites = ['TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384']"),
            (1, tls13)
        );
        assert_eq!(
            suites(
                "tls_cipher_suites = ['TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305', 'TLS_AES_128_GCM_SHA256']"
            ),
            (1, tls13)
        );
    }

    #[test]
    fn files_that_do_not_serve_are_named() {
        let check = |text: &str, part: &str| {
            let error = options(text).client().unwrap_err();
            assert!(error.message().contains(part), "{error}");
        };
        check("tls_ca = '/nonexistent/ca.pem'", "tls_ca /nonexistent/ca.pem cannot be read");
        check("tls_ca = '/dev/null'", "tls_ca /dev/null holds no certificate");
        check(
            "insecure_skip_verify = true\ntls_cert = '/dev/null'\ntls_key = '/dev/null'",
            "tls_cert /dev/null",
        );
    }

    #[test]
    fn without_verification_no_file_is_needed() {
        options("insecure_skip_verify = true").client().unwrap();
    }
}
