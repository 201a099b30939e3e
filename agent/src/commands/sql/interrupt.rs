//! Ctrl-C: the first ends the reading, and what was read is printed; the second ends the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use tokio::signal::unix::{SignalKind, signal};

/// The exit status of a program that SIGINT ended, as shells give it.
pub const INTERRUPTED: u8 = 130;

/// A flag that is set by SIGINT or SIGTERM. Without a thread to wait for them they end the program at
/// once, as they do by default.
pub fn flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let (ready, listens) = mpsc::channel::<()>();
    let spawned = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(wait(&set, ready));
        }
    });
    if spawned.is_ok() {
        // It hangs up once it listens, or cannot.
        let _ = listens.recv();
    }
    flag
}

async fn wait(flag: &AtomicBool, ready: mpsc::Sender<()>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    drop(ready);
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    }
}
