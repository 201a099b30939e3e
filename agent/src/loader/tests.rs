//! The registry over folders of made-up libraries, and what it says about bad ones.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use headwater_plugin_api::abi::module::RootRef;

use super::directories::{Directory, Origin};
use super::manifest;
use super::manifest::tests::library;
use super::*;

/// A folder of its own, gone at the end of the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("headwater-loader-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        set_mode(&path, 0o755);
        Folder(path.canonicalize().unwrap())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir(&path).unwrap();
        set_mode(&path, 0o755);
        path
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        set_mode(&path, 0o644);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn plugins(list: &str) -> Vec<u8> {
    library(manifest::SECTION, format!("HWPM1\n{list}").as_bytes())
}

const WELCOME: Welcome = Welcome { memory: None, panic: |_| {} };

fn registry(directories: &[&Path]) -> Registry {
    let directories = directories.iter().map(|path| Directory::named(*path)).collect();
    Registry::new(directories, Vec::new(), WELCOME)
}

mod linked {
    use headwater_plugin_api::batch::Batch;
    use headwater_plugin_api::plugin::{
        Capabilities, Context, Error, Gather, Host, Input, Plugin, Processor, Sink,
    };

    headwater_plugin_api::config! {
        /// Options of nothing.
        #[derive(PartialEq)]
        pub struct Options {
            /// How much.
            pub amount: i64 = 1,
        }
    }

    pub struct Quiet;

    impl Plugin for Quiet {
        type Config = Options;
        const NAME: &'static str = "quiet";
        const SUMMARY: &'static str = "Says nothing.";
        const CAPABILITIES: Capabilities = Capabilities::STATELESS;
        fn new(_config: Options, _host: Host) -> Result<Self, Error> {
            Ok(Quiet)
        }
    }

    impl Input for Quiet {
        fn gather(&mut self, _cx: &Context<'_>, _out: &mut Gather<'_>) -> Result<(), Error> {
            Ok(())
        }
    }

    impl Processor for Quiet {
        fn process(
            &mut self,
            _cx: &Context<'_>,
            batch: Batch,
            out: &mut Sink<'_>,
        ) -> Result<(), Error> {
            out.push(batch);
            Ok(())
        }
    }

    headwater_plugin_api::family! { name: "quiet", inputs: [Quiet], processors: [Quiet] }
}

fn linked() -> Vec<RootRef> {
    vec![<linked::Family as headwater_plugin_api::plugin::Family>::root()]
}

#[test]
fn names_come_from_the_lists_of_libraries() {
    let folder = Folder::new();
    folder.file("a.so", &plugins("input cpu\noutput file\n"));
    folder.file("b.so", &plugins("input mem\n"));
    folder.file("readme.txt", b"nothing");
    let registry = registry(&[folder.path()]);
    assert_eq!(registry.names(PluginKind::Input), ["cpu", "mem"]);
    assert_eq!(registry.names(PluginKind::Output), ["file"]);
    assert!(registry.has(PluginKind::Input, "cpu") && !registry.has(PluginKind::Output, "cpu"));
    assert!(registry.warnings().is_empty(), "{:?}", registry.warnings());
}

#[test]
fn a_missing_plugin_is_told_with_the_nearest_name_and_where_was_searched() {
    let folder = Folder::new();
    let [a, b] = ["a", "b"].map(|name| folder.directory(name));
    folder.file("a/one.so", &plugins("input cpu\ninput disk\noutput file\n"));
    folder.file("b/text.so", b"This is no library, whatever its name says. It is a longer text.");
    let registry = registry(&[&a, &b]);
    let error = registry.input("dsik").err().unwrap();
    let expected = format!(
        "there is no input `dsik`; did you mean `disk`?; searched in {} (2 inputs), {} (0 inputs); \
         not used: {}/text.so: it is not a shared library of 64-bit Linux: it begins with \
         \"This is no libra\"",
        a.display(),
        b.display(),
        b.display()
    );
    assert_eq!(error.to_string(), expected);
    let error = registry.input("file").err().unwrap().to_string();
    assert!(error.contains("no input `file`; there is an output of that name"), "{error}");
}

#[test]
fn no_directory_at_all_is_told() {
    let error = registry(&[]).output("file").err().unwrap().to_string();
    assert_eq!(error, "there is no output `file`; no directory of plugins was found");
}

#[test]
fn a_named_directory_that_is_missing_is_told_and_a_default_one_is_not() {
    let folder = Folder::new();
    let missing = folder.path().join("missing");
    let registry = registry(&[&missing]);
    let [warning] = registry.warnings() else { panic!("{:?}", registry.warnings()) };
    assert!(warning.contains("missing: No such file"), "{warning}");
    let default = Directory { path: missing, origin: Origin::Installed };
    let registry = Registry::new(vec![default], Vec::new(), WELCOME);
    assert!(registry.warnings().is_empty());
}

#[test]
fn the_first_directory_wins_and_says_so() {
    let folder = Folder::new();
    let [a, b] = ["a", "b"].map(|name| folder.directory(name));
    let first = folder.file("a/one.so", &plugins("input cpu\n"));
    let second = folder.file("b/one.so", &plugins("input cpu\ninput mem\n"));
    let third = folder.file("b/two.so", &plugins("input mem\ninput cpu\n"));
    let registry = registry(&[&a, &b]);
    let words = |later: &Path, name: &str, used: &Path| {
        let (later, used) = (later.display(), used.display());
        format!("plugin library {later} also brings input `{name}`; those of {used} are used")
    };
    let expected = [
        words(&second, "cpu", &first),
        words(&third, "mem", &second),
        words(&third, "cpu", &first),
    ];
    assert_eq!(registry.warnings(), expected);
    let error = registry.input("cpu").err().unwrap().to_string();
    assert!(error.contains(&first.display().to_string()), "{error}");
}

#[test]
fn the_same_family_beside_the_program_and_installed_is_no_warning() {
    let folder = Folder::new();
    let [a, b] = ["a", "b"].map(|name| folder.directory(name));
    folder.file("a/libheadwater_plugin_x.so", &plugins("input cpu\n"));
    folder.file("b/libheadwater_plugin_x.so", &plugins("input cpu\n"));
    let directories = vec![
        Directory { path: a, origin: Origin::Program },
        Directory { path: b, origin: Origin::Installed },
    ];
    let registry = Registry::new(directories, Vec::new(), WELCOME);
    assert!(registry.warnings().is_empty(), "{:?}", registry.warnings());
}

#[test]
fn beside_the_program_only_families_are_looked_at() {
    let folder = Folder::new();
    folder.file("libheadwater_plugin_x.so", &plugins("input cpu\n"));
    folder.file("libother.so", b"not ours to judge");
    let directory = Directory { path: folder.path().to_owned(), origin: Origin::Program };
    let registry = Registry::new(vec![directory], Vec::new(), WELCOME);
    assert_eq!(registry.names(PluginKind::Input), ["cpu"]);
    assert!(registry.warnings().is_empty());
}

#[test]
fn what_others_may_write_is_refused_with_the_remedy() {
    let check = |file_mode: u32, folder_mode: u32, expected: Option<&str>| {
        let folder = Folder::new();
        let path = folder.file("one.so", &plugins("input cpu\n"));
        set_mode(&path, file_mode);
        set_mode(folder.path(), folder_mode);
        let registry = registry(&[folder.path()]);
        match expected {
            None => assert_eq!(registry.names(PluginKind::Input), ["cpu"]),
            Some(expected) => {
                let [warning] = registry.warnings() else { panic!("{:?}", registry.warnings()) };
                let expected = expected
                    .replace("FILE", &path.display().to_string())
                    .replace("FOLDER", &folder.path().display().to_string());
                assert!(warning.contains(&expected), "{warning}");
                assert!(registry.names(PluginKind::Input).is_empty());
            }
        }
        set_mode(folder.path(), 0o755);
    };
    check(0o755, 0o755, None);
    // Its owner's own group, as where each user has one.
    check(0o775, 0o775, None);
    check(0o646, 0o755, Some("FILE: it may be written by everybody (mode 0646)"));
    check(0o646, 0o755, Some("`chmod o-w FILE`"));
    check(0o644, 0o757, Some("its directory may be written by everybody (mode 0757)"));
    check(0o644, 0o757, Some("`chmod o-w FOLDER`"));
    check(0o644, 0o1777, Some("its directory may be written by everybody (mode 1777)"));
}

#[test]
fn a_strange_group_that_may_write_is_refused() {
    let folder = Folder::new();
    let path = folder.file("one.so", &plugins("input cpu\n"));
    set_mode(&path, 0o664);
    let me = access::Identity::of_process();
    let stranger = access::Identity { user: me.user, group: me.group + 1 };
    assert!(access::open(&path, me).is_ok());
    let error = access::open(&path, stranger).unwrap_err().to_string();
    assert!(error.contains(&format!("by all of group {} (mode 0664)", me.group)), "{error}");
    assert!(error.contains("`chmod g-w "), "{error}");
    set_mode(&path, 0o666);
    let error = access::open(&path, stranger).unwrap_err().to_string();
    assert!(error.contains("by everybody (mode 0666)") && error.contains("chmod go-w"), "{error}");
}

#[test]
fn a_link_is_judged_by_what_it_points_to() {
    let folder = Folder::new();
    let [open, closed] = ["open", "closed"].map(|name| folder.directory(name));
    let path = folder.file("open/one.so", &plugins("input cpu\n"));
    set_mode(&open, 0o777);
    symlink(&path, closed.join("one.so")).unwrap();
    symlink("nowhere", closed.join("two.so")).unwrap();
    let registry = registry(&[&closed]);
    let [first, second] = registry.warnings() else { panic!("{:?}", registry.warnings()) };
    assert!(first.contains("one.so: its directory may be written by everybody"), "{first}");
    assert!(first.contains(&format!("chmod o-w {}`", open.display())), "{first}");
    assert!(second.contains("two.so: it cannot be opened: No such file"), "{second}");
}

#[test]
fn what_is_no_file_is_told() {
    let folder = Folder::new();
    folder.directory("folder.so");
    let registry = registry(&[folder.path()]);
    assert!(registry.warnings()[0].ends_with("folder.so: it is not a regular file"));
}

#[test]
fn a_library_that_the_system_cannot_load_is_told_once_it_is_needed() {
    let folder = Folder::new();
    let path = folder.file("hollow.so", &plugins("input cpu\n"));
    let registry = registry(&[folder.path()]);
    assert!(registry.warnings().is_empty());
    let error = registry.input("cpu").err().unwrap().to_string();
    let expected = format!(
        "the library of input `cpu` is not used: {}: the system cannot load it: ",
        path.display()
    );
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(registry.faults().len(), 1);
    assert!(registry.list().is_empty());
}

#[test]
fn linked_families_are_listed_and_trusted() {
    let registry = Registry::new(Vec::new(), linked(), WELCOME);
    let listed = registry.list();
    let seen: Vec<_> = listed.iter().map(|p| (p.kind, &*p.name, &p.library)).collect();
    assert_eq!(
        seen,
        [(PluginKind::Input, "quiet", &None), (PluginKind::Processor, "quiet", &None)]
    );
    assert_eq!(listed[0].summary, "Says nothing.");
    let input = registry.input("quiet").unwrap();
    assert!(matches!(input.plugin, InputKind::Gathered(_)) && input.trusted);
    assert_eq!(input.plugin.descriptor().capabilities(), 2);
    assert!(registry.processor("quiet").is_ok());
    assert!(registry.schema(PluginKind::Input, "quiet").unwrap().contains("amount"));
    let sample = registry.sample(PluginKind::Processor, "quiet").unwrap();
    assert!(sample.contains("[[processors.quiet]]"), "{sample}");
}

#[test]
fn a_linked_family_comes_before_a_library() {
    let folder = Folder::new();
    folder.file("one.so", &plugins("input quiet\n"));
    let directory = Directory::named(folder.path());
    let registry = Registry::new(vec![directory], linked(), WELCOME);
    assert!(registry.input("quiet").is_ok());
    let warning = &registry.warnings()[0];
    assert!(warning.ends_with("those of family quiet (linked in) are used"), "{warning}");
    let error = registry.input("quite").err().unwrap().to_string();
    let expected = format!(
        "there is no input `quite`; did you mean `quiet`?; searched in the program itself (1 inputs), \
         {} (1 inputs)",
        folder.path().display()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_linked_family_that_is_installed_too_is_no_warning_unless_its_folder_was_named() {
    let folder = Folder::new();
    let found = |file: &str, origin: Origin| {
        let path = folder.file(file, &plugins("input quiet\n"));
        let directory = Directory { path: folder.path().to_owned(), origin };
        let registry = Registry::new(vec![directory], linked(), WELCOME);
        std::fs::remove_file(path).unwrap();
        registry.warnings().len()
    };
    assert_eq!(found("libheadwater_plugin_quiet.so", Origin::Installed), 0);
    assert_eq!(found("libheadwater_plugin_quiet.so", Origin::Program), 0);
    assert_eq!(found("libheadwater_plugin_quiet.so", Origin::Named), 1);
    assert_eq!(found("libstrange.so", Origin::Installed), 1);
}
