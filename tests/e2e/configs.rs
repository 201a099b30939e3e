//! Each file of `configs` yields data.

use headwater_tests::agent::Setup;
use headwater_tests::paths;
use headwater_tests::points;

use crate::send;

#[test]
fn the_quickstart_yields_data() {
    let text = std::fs::read_to_string(paths::root().join("configs/quickstart.toml")).unwrap();
    assert!(text.contains("127.0.0.1:8094"), "the README names the port");
    // Any port, short windows: the words of the file are what is tested, not its patience.
    let text = text.replace("127.0.0.1:8094", "127.0.0.1:0").replace("time('10s')", "time('1s')");
    let mut agent = Setup::new(&text.replace("interval = \"2s\"", "interval = \"250ms\"")).start();
    send(agent.tcp(), b"demo,room=kitchen temperature=21.5\ndemo,room=kitchen temperature=22.5\n");
    let demo = agent.until("the point that was sent, and its window", |agent| {
        let text = agent.stdout();
        let whole = &text[..text.rfind('\n')? + 1];
        let all = points::parse(whole);
        let sent = all.iter().filter(|point| point.name == "demo").count();
        let window = all.into_iter().find(|point| point.name == "demo_10s");
        (sent == 2).then_some(window).flatten()
    });
    assert_eq!((demo.tag("room"), demo.number("points")), ("kitchen", 2.0));
    assert_eq!((demo.number("min"), demo.number("mean"), demo.number("max")), (21.5, 22.0, 22.5));
    agent.until("a window over the host", |agent| {
        let text = agent.stdout();
        let whole = &text[..text.rfind('\n')? + 1];
        let window = points::parse(whole).into_iter().find(|point| point.name == "cpu_10s")?;
        assert!(window.number("points") > 0.0 && window.number("busiest") >= 0.0);
        Some(())
    });
    let ended = agent.stop();
    let archive = points::parse(&ended.read("headwater-quickstart.influx"));
    for name in ["cpu", "mem", "system", "disk", "net", "demo", "cpu_10s", "demo_10s"] {
        assert!(archive.iter().any(|point| point.name == name), "the archive has no {name}");
    }
    assert_eq!(ended.log_lines(" E! "), [""; 0]);
}

#[test]
fn every_file_is_named_here() {
    let folder = paths::root().join("configs");
    let names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["quickstart.toml"], "a new file wants a test that runs it");
}
