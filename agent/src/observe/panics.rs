//! Where panics go: those of the agent and, through a function that libraries are given when they
//! are loaded, those inside of plugins.

use std::sync::{Arc, OnceLock};

use super::log::{Log, Logger};

/// Libraries are loaded before the log is opened, and are told a plain function: it needs a place
/// to find the log.
static LOG: OnceLock<Log> = OnceLock::new();

/// Sends the panics of the process to the log from now on, each as one line of the agent.
pub fn send_to(logger: &Arc<Logger>) {
    let log = LOG.get_or_init(|| logger.agent());
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name").to_owned();
        let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
        let words = panic.payload_as_str().unwrap_or("no words");
        log.panicked(&format!("panic in thread {name}{place}: {words}"));
    }));
}

/// Hears of a panic in a library: message and place. The plugin's own error follows it.
pub fn in_plugin(words: &str) {
    match LOG.get() {
        Some(log) => log.panicked(&format!("panic in a plugin: {words}")),
        None => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr().lock(), "panic in a plugin: {words}");
        }
    }
}
