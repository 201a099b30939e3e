//! Datagrams cannot wait: what is dropped is counted.

use std::net::UdpSocket;

use headwater_tests::agent::Setup;
use headwater_tests::points;
use rustix::process::Signal;

const SENT: usize = 5000;

#[test]
fn dropped_datagrams_are_counted() {
    let mut agent = Setup::new(
        "[agent]\nomit_hostname = true\nflush_interval = \"50ms\"\n\
         [[inputs.socket_listener]]\nservice_address = \"udp://127.0.0.1:0\"\n\
         [[inputs.internal]]\ninterval = \"100ms\"\n\
         [[outputs.file]]\nfiles = [\"@/out\"]\nnamedrop = [\"internal_*\"]\n\
         [[outputs.file]]\nfiles = [\"@/internal\"]\nnamepass = [\"internal_gather\"]\n",
    )
    .start();
    let to = agent.udp();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // While the agent stands still, the kernel's buffer fills and the rest is dropped.
    agent.signal(Signal::STOP);
    for number in 0..SENT {
        let filler = "x".repeat(1000);
        let line = format!("datagram n={number}i,filler=\"{filler}\" {}\n", number + 1);
        socket.send_to(line.as_bytes(), to).unwrap();
    }
    agent.signal(Signal::CONT);
    // The kernel tells how many it dropped with the next datagram that it takes.
    agent.until("a datagram after the flood", |agent| {
        socket.send_to(b"after n=1i 1\n", to).unwrap();
        agent.read("out").contains("after ").then_some(())
    });
    let received = |text: &str| text.lines().filter(|line| line.starts_with("datagram ")).count();
    let arrived = received(&agent.read("out"));
    assert!(arrived > 0 && arrived < SENT, "{arrived} of {SENT} arrived: no buffer overflowed");
    agent.until("the count of dropped datagrams", |agent| {
        let text = agent.read("internal");
        let whole = &text[..text.rfind('\n')? + 1];
        let all = points::parse(whole);
        let last = all.iter().rev().find(|point| point.tag("input") == "socket_listener")?;
        let dropped = last.number("datagrams_dropped") as usize;
        (dropped + arrived == SENT).then_some(())
    });
    let ended = agent.stop();
    assert_eq!(received(&ended.read("out")), arrived);
    assert!(ended.log.contains("dropped"), "the log does not tell:\n{}", ended.log);
}
