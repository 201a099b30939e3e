//! Hashes of texts, as hexadecimal digits.

use std::borrow::Cow;
use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::Function;
use crate::eval::arith::mismatch;
use crate::eval::{Context, text};
use crate::vector::{Data, Vector};

fn digits(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

pub fn call<'a>(function: Function, args: &[Vector<'a>], n: usize, cx: &mut Context) -> Vector<'a> {
    let [of] = args else { return Vector::null() };
    let valid = of.validity(n);
    let Data::Text(texts) = &of.data else { return mismatch(valid, n, cx) };
    text::build(valid, n, cx, |row| {
        let text = texts[of.place(row)].as_bytes();
        Some(Cow::Owned(match function {
            Function::Md5 => digits(&Md5::digest(text)),
            _ => digits(&Sha256::digest(text)),
        }))
    })
}
