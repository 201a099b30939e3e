//! A batch as C sees it: the library and the program made of `c/read_batch.c`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use headwater_plugin_api::abi::Taker;
use headwater_plugin_api::abi::envelope::RawBatch;
use headwater_plugin_api::batch::{
    Batch, BatchBuilder, FieldEdit, SeriesEdit, SeriesMap, layout::text_payload,
};
use headwater_plugin_api::testkit::{self, TestHost};

/// `folder` holds `read_batch` and `libread_batch.so`.
pub fn check(folder: &Path) {
    tables();
    let library = unsafe { libloading::Library::new(folder.join("libread_batch.so")) }.unwrap();
    type Print = unsafe extern "C" fn(*const RawBatch, Taker) -> i32;
    let print: libloading::Symbol<'_, Print> = unsafe { library.get(b"print_batch") }.unwrap();
    let in_c = |batch: &Batch| {
        let mut text = Vec::new();
        let mut raw = RawBatch::new(batch.clone());
        assert_eq!(unsafe { print(&raw, Taker::into(&mut text)) }, 0);
        drop(unsafe { raw.take(false) });
        let text = String::from_utf8(text).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = batch();
    assert_eq!(whole.len(), 70);
    assert_eq!(in_c(&whole), testkit::lines([&whole]));
    let mut narrowed = whole.clone();
    narrowed.retain(|_, row| row.time % 3 == 0);
    assert_eq!(narrowed.len(), 24);
    assert_eq!(in_c(&narrowed), testkit::lines([&narrowed]));
    let mut overlaid = narrowed.clone();
    let renamed = SeriesMap::new().apply(&mut overlaid, |_, draft| {
        draft.set_tag("added", "a b");
        SeriesEdit::Replace
    });
    renamed.unwrap();
    overlaid.edit_fields(|key, _| match key {
        "on" => FieldEdit::Drop,
        "i" => FieldEdit::Rename("renamed".to_owned()),
        _ => FieldEdit::Keep,
    });
    overlaid.edit_values(|rows, values, arena| {
        let text = arena.push("edited").unwrap_or(text_payload(0, 0));
        rows.iter().for_each(|row| values[row.values as usize + 3] = text);
    });
    let lines = in_c(&overlaid);
    assert_eq!(lines, testkit::lines([&overlaid]));
    assert!(
        lines[0].contains("added=a\\ b")
            && lines[0].contains("renamed=")
            && lines[0].contains("edited")
    );

    let file = folder.join("batch");
    let mut serial = Vec::new();
    overlaid.serialize_into(&mut serial);
    std::fs::write(&file, serial).unwrap();
    let output = Command::new(folder.join("read_batch")).arg(&file).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    std::fs::write(&file, "HWBATCH2").unwrap();
    assert!(!Command::new(folder.join("read_batch")).arg(&file).output().unwrap().status.success());
}

fn batch() -> Batch {
    let mut builder = BatchBuilder::default();
    for i in 0..70_i64 {
        let host = format!("h{}", i % 3);
        let point = builder.point("from rust").tag("host", &host);
        let point = point.field("i", -i).field("u", u64::MAX - i as u64).field("on", i % 2 == 0);
        // Halves: both sides write them with the same digits.
        let point = point.field("text", "plain").field("f", i as f64 / 2.0);
        let point = if i % 5 == 0 { point.field("more", i) } else { point };
        point.finish(i).unwrap();
    }
    builder.finish().unwrap()
}

/// Tables lie in memory as the header says: a word of bits, a word for the loader, the functions.
fn tables() {
    let raw = headwater_plugin_api::abi::serve::host(Arc::new(TestHost::default()));
    let functions = raw.functions;
    let words: *const u64 = unsafe { std::mem::transmute_copy(&functions) };
    let word = |at: usize| unsafe { *words.add(at) };
    assert_eq!(word(0).trailing_ones(), word(0).count_ones());
    assert!(word(0).count_ones() >= 11, "eleven services since 1.0");
    let known = [functions.log() as usize, functions.now() as usize, functions.counter() as usize];
    assert_eq!([2, 3, 4].map(|at| word(at) as usize), known);
    assert_eq!(word(12) as usize, functions.release() as usize);
    unsafe { functions.release()(raw.data) };
}
