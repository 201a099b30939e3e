//! Certificates for a test's server, made by `openssl`.

use std::path::PathBuf;
use std::process::Command;

use crate::paths::Folder;

use super::program;

/// A certificate with its key, in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

fn openssl(arguments: &[&str]) {
    let output = Command::new(program("openssl", "openssl")).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("openssl: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {}: {said}", arguments.join(" "));
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// A certificate that is its own authority.
///
/// # Panics
/// If openssl fails.
pub fn self_signed(folder: &Folder, name: &str, hosts: &str) -> Certificate {
    let (cert, key) = (folder.join(&format!("{name}.pem")), folder.join(&format!("{name}.key")));
    let subject = format!("/CN={name}");
    let hosts = format!("subjectAltName={hosts}");
    let mut arguments = vec!["req", "-x509", "-days", "2", "-subj", &subject];
    arguments.extend(KEY);
    arguments.extend(["-keyout", text(&key), "-out", text(&cert)]);
    if hosts.ends_with('=') {
        openssl(&arguments);
    } else {
        arguments.extend(["-addext", &hosts]);
        openssl(&arguments);
    }
    Certificate { cert, key }
}

/// A certificate that `authority` vouches for, valid for hosts such as `DNS:localhost,IP:127.0.0.1`.
///
/// # Panics
/// If openssl fails.
pub fn signed(folder: &Folder, name: &str, hosts: &str, authority: &Certificate) -> Certificate {
    let (cert, key) = (folder.join(&format!("{name}.pem")), folder.join(&format!("{name}.key")));
    let request = folder.join(&format!("{name}.csr"));
    let subject = format!("/CN={name}");
    let mut arguments = vec!["req", "-new", "-subj", &subject];
    arguments.extend(KEY);
    arguments.extend(["-keyout", text(&key), "-out", text(&request)]);
    openssl(&arguments);
    let extensions = folder.write(
        &format!("{name}.ext"),
        format!("subjectAltName={hosts}\nbasicConstraints=CA:FALSE\n"),
    );
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        text(&request),
        "-CA",
        text(&authority.cert),
        "-CAkey",
        text(&authority.key),
        "-CAcreateserial",
        "-extfile",
        text(&extensions),
        "-out",
        text(&cert),
    ]);
    Certificate { cert, key }
}
