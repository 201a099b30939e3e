//! How a call tells more than its status: a report that the caller owns and the callee fills
//! through functions, so that no allocation crosses.

use std::time::Duration;

use super::status;
use crate::plugin::{Error, ErrorKind};

/// What a failed call tells. The caller sets it up; the callee fills it.
#[repr(C)]
pub struct RawReport {
    /// Bytes of this struct.
    pub size: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// With `RETRY_AFTER`: nanoseconds.
    pub retry_after_ns: u64,
    /// With `BAD_CONFIG`: the span in the configuration text; `u64::MAX` for none.
    pub span_start: u64,
    /// End of the span.
    pub span_end: u64,
    /// First argument of the functions.
    pub data: *mut u8,
    /// Sets the sentence for a person.
    pub message: unsafe extern "C" fn(data: *mut u8, text: *const u8, len: usize),
    /// With `BAD_CONFIG`: names the key.
    pub key: unsafe extern "C" fn(data: *mut u8, text: *const u8, len: usize),
    /// With `PARTIAL`: names a refused row by its batch's place in the call and its index.
    pub refused: unsafe extern "C" fn(data: *mut u8, batch: u32, row: u32),
}

/// The most refused rows, and the longest text, that a report takes.
const MAX_REFUSED: usize = 1 << 20;
const MAX_TEXT: usize = 64 << 10;

/// What the functions of a report fill.
#[derive(Default)]
struct Filled {
    message: String,
    key: Option<String>,
    refused: Vec<(u32, u32)>,
}

unsafe extern "C" fn set_message(data: *mut u8, text: *const u8, len: usize) {
    // SAFETY: `call` passes its own `Filled`; the callee's text is readable for the call.
    unsafe { (*data.cast::<Filled>()).message = owned(text, len) }
}

unsafe extern "C" fn set_key(data: *mut u8, text: *const u8, len: usize) {
    // SAFETY: as above.
    unsafe { (*data.cast::<Filled>()).key = Some(owned(text, len)) }
}

unsafe fn owned(text: *const u8, len: usize) -> String {
    let text = super::Bytes { data: text, len: len.min(MAX_TEXT) };
    // SAFETY: the caller vouches.
    unsafe { text.to_text() }.into_owned()
}

unsafe extern "C" fn add_refused(data: *mut u8, batch: u32, row: u32) {
    // SAFETY: as above.
    let filled = unsafe { &mut *data.cast::<Filled>() };
    if filled.refused.len() < MAX_REFUSED {
        filled.refused.push((batch, row));
    }
}

/// Runs a call that takes a report and turns status and report into a result.
pub fn call(run: impl FnOnce(*mut RawReport) -> u32) -> Result<(), Error> {
    let mut filled = Filled::default();
    let mut report = RawReport {
        size: size_of::<RawReport>() as u32,
        flags: 0,
        retry_after_ns: 0,
        span_start: u64::MAX,
        span_end: u64::MAX,
        data: (&raw mut filled).cast(),
        message: set_message,
        key: set_key,
        refused: add_refused,
    };
    let code = run(&raw mut report);
    if code == status::OK {
        return Ok(());
    }
    let span = (report.span_start != u64::MAX)
        .then_some(report.span_start as usize..report.span_end as usize);
    let kind = match code {
        status::BAD_CONFIG => ErrorKind::BadConfig { key: filled.key, span },
        status::NOT_CONNECTED => ErrorKind::NotConnected,
        status::RETRY_AFTER => ErrorKind::RetryAfter(Duration::from_nanos(report.retry_after_ns)),
        status::PARTIAL => ErrorKind::Partial(filled.refused),
        status::REFUSED => ErrorKind::Refused,
        status::END => ErrorKind::End,
        status::FATAL => ErrorKind::Fatal,
        status::PANICKED => ErrorKind::Panicked,
        status::WOULD_BLOCK => ErrorKind::WouldBlock,
        _ => ErrorKind::Failed,
    };
    Err(Error::new(kind, filled.message))
}

/// Fills a report from an error and gives the status.
///
/// # Safety
/// `report` is null or points to the live report of this call.
pub unsafe fn fill(report: *mut RawReport, error: &Error) -> u32 {
    // SAFETY: the caller vouches.
    if let Some(report) = unsafe { report.as_mut() } {
        let message = error.message();
        // SAFETY: the functions take the report's own data and text that lives for the call.
        unsafe { (report.message)(report.data, message.as_ptr(), message.len()) };
        match error.kind() {
            ErrorKind::BadConfig { key, span } => {
                if let Some(key) = key {
                    // SAFETY: as above.
                    unsafe { (report.key)(report.data, key.as_ptr(), key.len()) };
                }
                if let Some(span) = span {
                    report.span_start = span.start as u64;
                    report.span_end = span.end as u64;
                }
            }
            ErrorKind::RetryAfter(after) => {
                report.retry_after_ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            }
            ErrorKind::Partial(rows) => {
                for &(batch, row) in rows {
                    // SAFETY: as above.
                    unsafe { (report.refused)(report.data, batch, row) };
                }
            }
            _ => {}
        }
    }
    match error.kind() {
        ErrorKind::BadConfig { .. } => status::BAD_CONFIG,
        ErrorKind::NotConnected => status::NOT_CONNECTED,
        ErrorKind::RetryAfter(_) => status::RETRY_AFTER,
        ErrorKind::Partial(_) => status::PARTIAL,
        ErrorKind::Refused => status::REFUSED,
        ErrorKind::End => status::END,
        ErrorKind::Fatal => status::FATAL,
        ErrorKind::Failed => status::FAILED,
        ErrorKind::Panicked => status::PANICKED,
        ErrorKind::WouldBlock => status::WOULD_BLOCK,
    }
}
