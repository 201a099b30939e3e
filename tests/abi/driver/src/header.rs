//! Writes the C header of the interface: layout and types from the compiled structs, words and names
//! of parameters from their sources. `tests/abi/run` compares it with `plugin-api/include/headwater.h`.

use std::any::type_name;
use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::path::Path;

use headwater_plugin_api::abi::envelope::RawBatch;
use headwater_plugin_api::abi::host::*;
use headwater_plugin_api::abi::memory::MemoryFunctions;
use headwater_plugin_api::abi::module::*;
use headwater_plugin_api::abi::owned::RawOwnedBytes;
use headwater_plugin_api::abi::report::RawReport;
use headwater_plugin_api::abi::tables::{LAYOUT_VERSION, RawSection, RawTables};
use headwater_plugin_api::abi::{Bytes, Taker};
use headwater_plugin_api::batch::layout::{Field, Row, Series, Shape, Symbol, Tag};

struct Member {
    name: &'static str,
    offset: usize,
    rust_type: &'static str,
}

struct Layout {
    /// The Rust name.
    name: &'static str,
    /// Whether it is a function table, before which the words of a table stand.
    table: bool,
    size: usize,
    members: Vec<Member>,
}

fn type_of<S, F>(_: fn(&S) -> &F) -> &'static str {
    type_name::<F>()
}

macro_rules! layouts {
    ($($kind:ident $name:ident { $($field:ident),* $(,)? })*) => {
        vec![$({
            // Does not compile once the struct has a field that is not in the list.
            #[allow(dead_code)]
            fn complete($name { $($field: _),* }: &$name) {}
            Layout {
                name: stringify!($name),
                table: stringify!($kind) == "table",
                size: size_of::<$name>(),
                members: vec![$(Member {
                    name: stringify!($field),
                    offset: offset_of!($name, $field),
                    rust_type: type_of(|s: &$name| &s.$field),
                }),*],
            }
        }),*]
    };
}

/// In the order in which C needs them.
fn layouts() -> Vec<Layout> {
    layouts! {
        data Symbol { offset, len }
        data Series {
            hash, text, text_len, key_len, name, name_len, tags, tag_count, hint, kind, flags,
            reserved,
        }
        data Tag { key, key_len, value, value_len }
        data Shape { fields, field_count, slots, flags }
        data Field { key, slot, kind, flags, reserved }
        data Row { time, series, shape, values, flags }
        data RawSection { id, flags, element_size, reserved, data, len }
        data RawTables { size, version, section_count, flags, sections, retain, release }
        data DeliveryFunctions { size, retain, settle }
        data RawDelivery { functions, data }
        data RawBatch {
            size, live, tables, series, shapes, selection, delivery, origin, sequence, time_min,
            time_max, reserved,
        }
        data Bytes { data, len }
        data Taker { argument, take }
        data RawOwnedBytes { size, data, len, capacity, free }
        data RawContext { size, flags, now_ns, timeout_ns, cancel }
        data RawReport {
            size, flags, retry_after_ns, span_start, span_end, data, message, key, refused,
        }
        data RawChunk { size, flags, data, len, default_time_ns, origin, token, tags }
        table SinkFunctions { try_push, push, push_bytes, bad, lines }
        data RawSink { functions, data }
        data RawRead { size, message_count, len, messages, message_capacity, lost, token }
        table SourceFunctions { read, drop }
        data RawSourceSpec {
            size, framing, flags, descriptor, start, name, tags, functions, data,
        }
        data Watcher { argument, ready, drop }
        table IntakeFunctions { open, wake, close, watch, retain, release, sink }
        data RawIntake { functions, data }
        data RawSettlement { source, token, outcome, flags }
        table HostFunctions {
            log, now, counter, load_state, save_state, secret, serializer, parser, self_metrics,
            retain, release, keeps_state,
        }
        data RawHost { functions, data }
        table LifecycleFunctions { drop, init, connect, pause, stop, snapshot, restore }
        data RawInstance { size, instance, lifecycle, functions }
        table Descriptor {
            kind, capabilities, name, version, summary, describe, make, lifecycle,
        }
        table InputFunctions { gather }
        data InputPlugin { descriptor, functions }
        data InputPlugins { data, len }
        table ServiceFunctions { start, settled }
        data ServicePlugin { descriptor, functions }
        data ServicePlugins { data, len }
        table ParserFunctions { cut, parse }
        data ParserPlugin { descriptor, functions }
        data ParserPlugins { data, len }
        table SerializerFunctions { serialize }
        data SerializerPlugin { descriptor, functions }
        data SerializerPlugins { data, len }
        table ProcessorFunctions { process, tick, control }
        data ProcessorPlugin { descriptor, functions }
        data ProcessorPlugins { data, len }
        table AggregatorFunctions { apply, tick, control }
        data AggregatorPlugin { descriptor, functions }
        data AggregatorPlugins { data, len }
        table OutputFunctions { write, write_bytes }
        data OutputPlugin { descriptor, functions }
        data OutputPlugins { data, len }
        data MemoryFunctions { allocate, free }
        data RawSetup { size, memory, panic }
        table Root {
            family, version, interface, set_up, inputs, services, parsers, serializers, processors,
            aggregators, outputs,
        }
    }
}

/// Modules of constants: file, module, prefix in C.
const CONSTANTS: [(&str, &str, &str); 11] = [
    ("batch/layout.rs", "section", "HW_SECTION"),
    ("batch/layout.rs", "kind", "HW_KIND"),
    ("batch/layout.rs", "metric_kind", "HW_METRIC"),
    ("abi/mod.rs", "status", "HW_STATUS"),
    ("abi/module.rs", "capability", "HW_CAPABILITY"),
    ("abi/module.rs", "plugin_kind", "HW_PLUGIN"),
    ("abi/module.rs", "describe", "HW_DESCRIBE"),
    ("abi/module.rs", "control", "HW_CONTROL"),
    ("abi/host.rs", "framing", "HW_FRAMING"),
    ("abi/host.rs", "source_flag", "HW_SOURCE"),
    ("abi/host.rs", "chunk_flag", "HW_CHUNK"),
];

const SOURCES: [&str; 9] = [
    "batch/layout.rs",
    "abi/mod.rs",
    "abi/tables.rs",
    "abi/envelope.rs",
    "abi/host.rs",
    "abi/report.rs",
    "abi/owned.rs",
    "abi/memory.rs",
    "abi/module.rs",
];

/// The header, from the sources of plugin-api in this folder.
pub fn write(api: &Path) -> String {
    let read = |file: &str| std::fs::read_to_string(api.join("src").join(file)).unwrap();
    let sources: Vec<String> = SOURCES.iter().map(|file| read(file)).collect();
    let mut out = PROLOGUE.to_owned();
    let (major, minor) = (INTERFACE >> 16, INTERFACE & 0xffff);
    let _ = writeln!(
        out,
        "/* The version of the interface, major in the high half: {major}.{minor}. */"
    );
    let _ = writeln!(out, "#define HW_INTERFACE {INTERFACE:#010x}u");
    let _ = writeln!(out, "/* The version of the batch layout. */");
    let _ = writeln!(out, "#define HW_LAYOUT_VERSION {LAYOUT_VERSION:#010x}u");
    for (file, module, prefix) in CONSTANTS {
        constants(&mut out, &read(file), module, prefix);
    }
    out.push_str(SERIAL);
    let layouts = layouts();
    out.push('\n');
    for layout in &layouts {
        let name = c_name(layout.name);
        let _ = writeln!(out, "typedef struct {name} {name};");
    }
    for layout in &layouts {
        structure(&mut out, layout, &sources);
    }
    out.push_str(EPILOGUE);
    out
}

fn constants(out: &mut String, source: &str, module: &str, prefix: &str) {
    let start = source.find(&format!("\npub mod {module} {{")).expect(module);
    let _ = writeln!(out);
    comment(out, "", &doc_before(source, start + 1));
    let body = &source[start..];
    let body = &body[..body.find("\n}").expect(module)];
    let mut doc = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim().to_owned());
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let (name, value) = constant.trim_end_matches(';').split_once(" = ").expect(line);
            let name = name.split(':').next().expect(line);
            comment(out, "", &doc);
            let _ = writeln!(out, "#define {prefix}_{name} {value}u");
            doc.clear();
        }
    }
}

fn structure(out: &mut String, layout: &Layout, sources: &[String]) {
    let name = c_name(layout.name);
    let (source, start) = find_struct(layout.name, sources);
    let _ = writeln!(out);
    comment(out, "", &doc_before(source, start));
    let body = &source[start..];
    let end = body.find("\n}").unwrap_or(body.len()).max(1);
    let body = &body[..end];
    let _ = writeln!(out, "struct {name} {{");
    let head = if layout.table { 16 } else { 0 };
    if layout.table {
        let _ = writeln!(out, "    hw_table table;");
    }
    let mut members: Vec<&Member> = layout.members.iter().collect();
    members.sort_by_key(|member| member.offset);
    for member in &members {
        let at = field_place(body, member.name)
            .unwrap_or_else(|| panic!("no field {} in the source of {}", member.name, layout.name));
        comment(out, "    ", &doc_before(body, at));
        let names = parameters(&body[at..]);
        let _ = writeln!(out, "    {};", declare(member.rust_type, member.name, &names));
    }
    let _ = writeln!(out, "}};");
    let _ = writeln!(out, "HW_ASSERT(sizeof({name}) == {}, {name});", layout.size + head);
    for member in members {
        let (field, offset) = (member.name, member.offset + head);
        let _ = writeln!(out, "HW_ASSERT(offsetof({name}, {field}) == {offset}, {name}_{field});");
    }
}

/// Where a struct's definition begins: the line with its name.
fn find_struct<'a>(name: &str, sources: &'a [String]) -> (&'a str, usize) {
    let plural = name.ends_with("Plugins");
    let generic = if plural { "$plugin_functions" } else { "$plugin" };
    for source in sources {
        // One written out, one given to the macro of a kind, one made by that macro.
        for pattern in [format!("pub struct {name} {{"), format!("{name}, {name}Ref, {{")] {
            if let Some(at) = source.find(&pattern) {
                return (source, source[..at].rfind('\n').map_or(0, |line| line + 1));
            }
        }
    }
    for source in sources {
        if let Some(at) = source.find(&format!("pub struct {generic} {{")) {
            return (source, source[..at].rfind('\n').map_or(0, |line| line + 1));
        }
    }
    panic!("no source of {name}");
}

/// Where the line of a field begins.
fn field_place(body: &str, name: &str) -> Option<usize> {
    let at = body.find(&format!("pub {name}:"))?;
    Some(body[..at].rfind('\n').map_or(0, |line| line + 1))
}

/// The comment that stands before a place, above attributes.
fn doc_before(source: &str, at: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in source[..at].lines().rev().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            lines.push(text.trim().to_owned());
        } else if !line.starts_with("#[") {
            break;
        }
    }
    lines.reverse();
    lines
}

/// Writes a comment; what is a link in Rust becomes its words.
fn comment(out: &mut String, indent: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let mut text = lines.join(" ");
    while let Some(end) = text.find("](") {
        let close = text[end..].find(')').map_or(text.len(), |at| end + at + 1);
        text.replace_range(end..close, "]");
    }
    let text = in_c(&text.replace(['[', ']', '`'], ""));
    let width = 96 - indent.len();
    let (mut line, mut first) = (String::new(), true);
    let mut flush = |line: &mut String, last: bool| {
        let open = if first { "/* " } else { " * " };
        let close = if last { " */" } else { "" };
        let _ = writeln!(out, "{indent}{open}{}{close}", line.trim_end());
        first = false;
        line.clear();
    };
    for word in text.split_whitespace() {
        if line.len() + word.len() > width - 3 {
            flush(&mut line, false);
        }
        line.push_str(word);
        line.push(' ');
    }
    flush(&mut line, true);
}

/// Words about Rust types in those of C.
fn in_c(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let name = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let tail = &word[name.len()..];
        let c = match name.strip_prefix("Raw") {
            Some(rest) if rest.starts_with(char::is_uppercase) => c_name(name),
            _ => match name {
                "AtomicU64" => "uint64_t".to_owned(),
                "section::MUST_UNDERSTAND" => "HW_SECTION_MUST_UNDERSTAND".to_owned(),
                _ => {
                    words.push(word.to_owned());
                    continue;
                }
            },
        };
        match words.pop() {
            Some(last) if last == "*const" => words.push(format!("const {c} *{tail}")),
            Some(last) if last == "*mut" => words.push(format!("{c} *{tail}")),
            last => {
                words.extend(last);
                words.push(format!("{c}{tail}"));
            }
        }
    }
    words.join(" ")
}

/// The names of a function's parameters as they stand in the source.
fn parameters(field: &str) -> Vec<String> {
    let Some(open) = field.find("fn(") else { return Vec::new() };
    let end = field.find("\n\n").unwrap_or(field.len());
    let rest = &field[open + 3..end.max(open + 3)];
    let rest = &rest[..rest.find(')').unwrap_or(rest.len())];
    let named = rest.split(',').map(str::trim).filter(|part| !part.is_empty());
    named.map(|part| part.split_once(':').map_or("", |(name, _)| name).to_owned()).collect()
}

/// A declaration in C of a name with a Rust type.
fn declare(rust_type: &str, name: &str, parameters: &[String]) -> String {
    if let Some(rest) = rust_type.split_once("extern \"C\" fn(").map(|(_, rest)| rest) {
        let (inside, result) = rest.rsplit_once(')').expect(rust_type);
        let result = result.strip_prefix(" -> ").map_or("void".to_owned(), c_type);
        let types: Vec<&str> = inside.split(", ").filter(|part| !part.is_empty()).collect();
        let all: Vec<String> = types
            .iter()
            .enumerate()
            .map(|(at, part)| {
                let name = parameters.get(at).map_or("", String::as_str);
                join(&c_type(part), name)
            })
            .collect();
        let all = if all.is_empty() { "void".to_owned() } else { all.join(", ") };
        return join(&result, &format!("(*{name})({all})"));
    }
    if let Some((element, count)) =
        rust_type.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.split_once("; "))
    {
        return join(&c_type(element), &format!("{name}[{count}]"));
    }
    join(&c_type(rust_type), name)
}

fn join(c_type: &str, name: &str) -> String {
    let space = if c_type.ends_with('*') || name.is_empty() { "" } else { " " };
    format!("{c_type}{space}{name}")
}

fn c_type(rust: &str) -> String {
    if let Some(target) = rust.strip_prefix("*mut ") {
        return match target {
            "u8" => "void *".to_owned(),
            other => pointer(&c_type(other)),
        };
    }
    if let Some(target) = rust.strip_prefix("*const ") {
        return pointer(&format!("const {}", c_type(target)));
    }
    match rust {
        "u8" => "uint8_t".to_owned(),
        "u32" | "core::sync::atomic::AtomicU32" | "core::sync::atomic::Atomic<u32>" => {
            "uint32_t".to_owned()
        }
        "u64" => "uint64_t".to_owned(),
        "i32" => "int32_t".to_owned(),
        "i64" => "int64_t".to_owned(),
        "usize" => "size_t".to_owned(),
        path => {
            let name = path.rsplit("::").next().expect(path);
            match name.strip_suffix("Ref") {
                Some(table) => format!("const {} *", c_name(table)),
                None => c_name(name),
            }
        }
    }
}

fn pointer(to: &str) -> String {
    match to.ends_with('*') {
        true => format!("{to}*"),
        false => format!("{to} *"),
    }
}

fn c_name(rust: &str) -> String {
    let rust = rust.strip_prefix("Raw").unwrap_or(rust);
    assert!(rust.starts_with(char::is_uppercase), "no C name for the type {rust}");
    let mut name = "hw".to_owned();
    for letter in rust.chars() {
        if letter.is_uppercase() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

const PROLOGUE: &str = r#"/*
 * The plugin interface of Headwater in C: what a batch looks like in memory and in its serial form,
 * and the function tables through which agent and plugins call each other.
 *
 * Written by `tests/abi/run --header` from the sources of headwater-plugin-api; do not edit.
 *
 * 64-bit little-endian Linux. SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef HEADWATER_H
#define HEADWATER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define HW_ASSERT(what, name) static_assert(what, #name)
extern "C" {
#else
#define HW_ASSERT(what, name) _Static_assert(what, #name)
#endif

/* The words that stand before each function table: which of its fields it has, bit n for field n
 * counted from 0, and a description that only the loader reads. A table of a later version has more
 * fields; one of an earlier version has fewer: ask HW_HAS before using what came after 1.0. */
typedef struct hw_table {
    uint64_t fields;
    const void *description;
} hw_table;
#define HW_HAS(functions, field) (((functions)->table.fields >> (field)) & 1u)

"#;

const SERIAL: &str = r#"
/* The serial form of a batch begins so; `section_count` entries of hw_serial_section follow. */
typedef struct hw_serial_head {
    /* "HWBATCH1" */
    char magic[8];
    uint32_t version;
    uint32_t section_count;
    /* Bytes of the whole. */
    uint64_t size;
} hw_serial_head;
HW_ASSERT(sizeof(hw_serial_head) == 24, hw_serial_head);

/* One section: `len` elements at `offset` from the beginning of the whole, a multiple of 8. */
typedef struct hw_serial_section {
    uint32_t id;
    uint32_t flags;
    uint32_t element_size;
    uint32_t reserved;
    uint64_t offset;
    uint64_t len;
} hw_serial_section;
HW_ASSERT(sizeof(hw_serial_section) == 32, hw_serial_section);

/* Where the text of a payload stands in the arena. */
#define HW_TEXT_OFFSET(payload) ((uint32_t)(payload))
#define HW_TEXT_LEN(payload) ((uint32_t)((uint64_t)(payload) >> 32))
"#;

const EPILOGUE: &str = r#"
#ifdef __cplusplus
}
#endif

#endif
"#;
