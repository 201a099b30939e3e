use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use headwater_plugin_api::abi::instance::OutputInstance;
use headwater_plugin_api::plugin::{Context, Error};
use headwater_plugin_api::testkit::{self, Driven, context};

use super::FileOutput;
use crate::paths::tests::Folder;

const SECOND: i64 = 1_000_000_000;

fn output(toml: &str) -> Driven<OutputInstance> {
    testkit::output::<FileOutput>(toml).unwrap()
}

fn config_error(toml: &str) -> String {
    match testkit::output::<FileOutput>(toml) {
        Ok(_) => panic!("{toml} was accepted"),
        Err(error) => error.message().to_owned(),
    }
}

fn to(path: &std::path::Path, more: &str) -> String {
    format!("files = ['{}']\n{more}", path.display())
}

fn write_at(driven: &mut Driven<OutputInstance>, now_s: i64, bytes: &str) -> Result<(), Error> {
    driven.instance.write_bytes(&context(now_s * SECOND), bytes.as_bytes())
}

fn write(driven: &mut Driven<OutputInstance>, bytes: &str) -> Result<(), Error> {
    write_at(driven, 0, bytes)
}

fn text(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The files beside `name` in a folder, with their texts.
fn archives(folder: &Folder, name: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = std::fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), text(&entry.path())))
        .filter(|(file, _)| file != name)
        .collect();
    files.sort();
    files
}

#[test]
fn bytes_are_appended() {
    let folder = Folder::new("out-append");
    let (old, new) = (folder.write("old", "before\n"), folder.path("new"));
    let mut driven = output(&format!("files = ['{}', '{}']", old.display(), new.display()));
    driven.instance.base.connect(&context(0)).unwrap();
    assert_eq!(text(&new), "", "made at connect");
    assert_eq!(std::fs::metadata(&new).unwrap().permissions().mode() & 0o133, 0);
    write(&mut driven, "m a=1\n").unwrap();
    write(&mut driven, "").unwrap();
    write(&mut driven, "m a=2\n").unwrap();
    driven.instance.base.stop(&context(0)).unwrap();
    assert_eq!(text(&old), "before\nm a=1\nm a=2\n");
    assert_eq!(text(&new), "m a=1\nm a=2\n");
}

#[test]
fn a_file_that_was_moved_or_deleted_is_made_again() {
    let folder = Folder::new("out-moved");
    let path = folder.path("m.out");
    let mut driven = output(&to(&path, ""));
    write(&mut driven, "1\n").unwrap();
    std::fs::rename(&path, folder.path("m.out.1")).unwrap();
    write(&mut driven, "2\n").unwrap();
    std::fs::remove_file(&path).unwrap();
    write(&mut driven, "3\n").unwrap();
    assert_eq!(text(&folder.path("m.out.1")), "1\n");
    assert_eq!(text(&path), "3\n");
}

#[test]
fn failures_name_the_path_and_the_remedy() {
    let folder = Folder::new("out-fail");
    let connect = |path: PathBuf| {
        let mut driven = output(&to(&path, ""));
        let error = driven.instance.base.connect(&context(0)).unwrap_err().message().to_owned();
        assert!(error.contains(&path.display().to_string()), "{error}");
        error
    };
    assert!(connect(folder.path("none/m.out")).contains("folder first"));
    assert!(!folder.path("none").exists(), "no folder is made");
    connect(folder.0.clone());

    let mut full = output("files = ['/dev/full']");
    let error = write(&mut full, "m a=1\n").unwrap_err();
    assert!(error.message().contains("/dev/full") && error.message().contains("make room"));
}

#[test]
fn a_repeated_write_goes_only_where_it_is_missing() {
    let folder = Folder::new("out-repeat");
    let good = folder.path("good");
    let mut driven = output(&format!("files = ['{}', '/dev/full']", good.display()));
    for _ in 0..3 {
        write(&mut driven, "m a=1\n").unwrap_err();
    }
    assert_eq!(text(&good), "m a=1\n");
    // Other bytes are another write.
    write(&mut driven, "m a=2\n").unwrap_err();
    write(&mut driven, "m a=2\n").unwrap_err();
    assert_eq!(text(&good), "m a=1\nm a=2\n");
}

#[test]
fn a_pipe_that_is_full_is_waited_for_and_gone_on_with() {
    let folder = Folder::new("out-pipe");
    let path = folder.path("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK;
    let mut reader = std::fs::File::from(rustix::fs::open(&path, flags, mode).unwrap());
    let long = "x".repeat(300_000);
    let mut driven = output(&to(&path, ""));
    // Opened for writing, a pipe blocks: another thread reads it empty meanwhile.
    let thread = std::thread::spawn(move || {
        write(&mut driven, &long).unwrap();
        long.len()
    });
    let mut read = 0;
    while read < 300_000 {
        let mut buffer = [0; 65_536];
        match reader.read(&mut buffer) {
            Ok(n) => read += n,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                let mut fds = [rustix::event::PollFd::new(&reader, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut fds, None).unwrap();
            }
        }
    }
    assert_eq!(thread.join().unwrap(), read);
}

#[test]
fn a_writer_that_must_wait_gives_up_at_the_deadline() {
    use std::os::fd::AsFd;
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
    let cx = Context::new(0, Some(Duration::from_millis(20)), None);
    let mut written = 0;
    let bytes = vec![b'x'; 1 << 20];
    let error = super::put(&cx, writer.as_fd(), &bytes, &mut written).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(written > 0 && written < bytes.len());
    drop(reader);
}

#[test]
fn files_are_set_aside_by_size() {
    let folder = Folder::new("out-size");
    let path = folder.path("m.out");
    let mut driven = output(&to(&path, "rotation_max_size = 6\nrotation_max_archives = 2"));
    for n in 1..=4 {
        write_at(&mut driven, 1_769_817_600, &format!("m{n}\n")).unwrap();
        write_at(&mut driven, 1_769_817_600, &format!("n{n}\n")).unwrap();
    }
    // All within one second; the oldest two are gone.
    assert_eq!(
        archives(&folder, "m.out"),
        [
            ("m.2026-01-31-1769817602.out".to_owned(), "m3\nn3\n".to_owned()),
            ("m.2026-01-31-1769817603.out".to_owned(), "m4\nn4\n".to_owned()),
        ]
    );
    assert!(!path.exists());
    write_at(&mut driven, 1_769_817_600, "m5\n").unwrap();
    assert_eq!(text(&path), "m5\n");
}

#[test]
fn files_are_set_aside_by_age() {
    let folder = Folder::new("out-age");
    let path = folder.path("m.out");
    let other = folder.write("m.other.out", "not an archive");
    let mut driven = output(&to(&path, "rotation_interval = '1h'\nrotation_max_archives = 0"));
    write_at(&mut driven, 1000, "1\n").unwrap();
    write_at(&mut driven, 1000 + 3599, "2\n").unwrap();
    assert_eq!(text(&path), "1\n2\n");
    write_at(&mut driven, 1000 + 3600, "3\n").unwrap();
    assert!(!path.exists(), "set aside, and none is kept");
    assert_eq!(archives(&folder, "m.out").len(), 1);
    assert!(other.exists());

    let mut keeps = output(&to(&path, "rotation_interval = '1h'\nrotation_max_archives = -1"));
    for n in 0..10 {
        write_at(&mut keeps, n * 10_000, "x\n").unwrap();
        write_at(&mut keeps, n * 10_000 + 3600, "y\n").unwrap();
    }
    assert_eq!(archives(&folder, "m.out").len(), 11);
}

#[test]
fn what_cannot_be_set_aside_is_written_on() {
    let mut driven = output("files = ['/dev/null']\nrotation_max_size = 1");
    write(&mut driven, "m a=1\n").unwrap();
    write(&mut driven, "m a=1\n").unwrap();
    assert!(std::fs::metadata("/dev/null").is_ok());
    assert!(driven.host.logs.lock().unwrap().is_empty());
}

#[test]
fn packed_writes_make_one_packed_file() {
    let folder = Folder::new("out-gzip");
    for (algorithm, level) in [("gzip", 0), ("gzip", 9), ("gzip", -1)] {
        let path = folder.path(&format!("{algorithm}{level}"));
        let mut driven = output(&to(
            &path,
            &format!("compression_algorithm = '{algorithm}'\ncompression_level = {level}"),
        ));
        write(&mut driven, "m a=1\n").unwrap();
        write(&mut driven, "m a=2\n").unwrap();
        let mut text = String::new();
        let file = std::fs::File::open(&path).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "m a=1\nm a=2\n");
    }
    let path = folder.path("zlib");
    let mut driven = output(&to(&path, "compression_algorithm = 'zlib'"));
    write(&mut driven, "m a=1\n").unwrap();
    let mut text = String::new();
    let file = std::fs::File::open(&path).unwrap();
    flate2::read::ZlibDecoder::new(file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "m a=1\n");
}

#[test]
fn options_that_do_not_fit_are_told() {
    for (toml, words) in [
        ("compression_algorithm = 'zstd'", "gzip"),
        ("compression_algorithm = 'rar'", "zlib"),
        ("compression_level = 10", "1 to 9"),
        ("rotation_max_archives = -2", "-1 keeps all"),
        ("files = ['a', 'a']", "twice"),
        ("files = ['']", "empty"),
    ] {
        let message = config_error(toml);
        assert!(message.contains(words), "{toml}: {message}");
    }
    output("files = []");
    output("files = ['stdout', 'stderr']\nuse_batch_format = true");
}
