/*
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

/* The version of the interface, major in the high half: 1.1. */
#define HW_INTERFACE 0x00010001u
/* The version of the batch layout. */
#define HW_LAYOUT_VERSION 0x00010000u

/* Names one table of a batch. */
/* Text, UTF-8, one byte an element. */
#define HW_SECTION_ARENA 1u
/* Symbol: text that tables name by index. */
#define HW_SECTION_SYMBOLS 2u
/* Series. */
#define HW_SECTION_SERIES 3u
/* Tag, sorted by key bytes within a series. */
#define HW_SECTION_TAGS 4u
/* Shape. */
#define HW_SECTION_SHAPES 5u
/* Field, in the order of the source. */
#define HW_SECTION_FIELDS 6u
/* Row. */
#define HW_SECTION_ROWS 7u
/* Payloads of 8 bytes, read by the kind of their field. */
#define HW_SECTION_VALUES 8u
/* Words of 64 bits, bit i set if row i is alive. */
#define HW_SECTION_SELECTION 9u
/* Flag of a section: a reader that does not know it must refuse the batch. */
#define HW_SECTION_MUST_UNDERSTAND 1u

/* Codes of Field::kind: how a payload of 8 bytes is read. An unknown kind is carried, never
 * interpreted. */
/* IEEE 754 double, finite. */
#define HW_KIND_F64 1u
/* Signed integer. */
#define HW_KIND_I64 2u
/* Unsigned integer. */
#define HW_KIND_U64 3u
/* 0 or 1. */
#define HW_KIND_BOOL 4u
/* Text in the arena: offset in the low half, length in the high half. */
#define HW_KIND_TEXT 5u
/* Reserved: bytes in the arena, as TEXT without UTF-8. */
#define HW_KIND_BYTES 6u
/* Reserved: JSON in the arena, as TEXT. */
#define HW_KIND_JSON 7u

/* Codes of Series::kind; an unknown code is carried, never interpreted. */
/* Nothing is known. */
#define HW_METRIC_UNTYPED 0u
/* A sum that only grows. */
#define HW_METRIC_COUNTER 1u
/* A value that goes up and down. */
#define HW_METRIC_GAUGE 2u
/* Buckets. */
#define HW_METRIC_HISTOGRAM 3u
/* Quantiles. */
#define HW_METRIC_SUMMARY 4u

/* What a call answers. Codes of later versions read as FAILED. */
/* Done. */
#define HW_STATUS_OK 0u
/* The configuration cannot be honoured; the report names key or span. */
#define HW_STATUS_BAD_CONFIG 1u
/* There is no connection: connect again, then repeat. */
#define HW_STATUS_NOT_CONNECTED 2u
/* Repeat after the time in the report. */
#define HW_STATUS_RETRY_AFTER 3u
/* Some rows were refused for good, the rest is done; the report lists them. */
#define HW_STATUS_PARTIAL 4u
/* All of it was refused for good: do not repeat. */
#define HW_STATUS_REFUSED 5u
/* The source has ended; there will be no more. */
#define HW_STATUS_END 6u
/* The instance cannot go on and must not be started again. */
#define HW_STATUS_FATAL 7u
/* It did not work this time; it may be repeated. */
#define HW_STATUS_FAILED 8u
/* The call panicked; the instance must be dropped. */
#define HW_STATUS_PANICKED 9u
/* Not now: the queue is full, or the source has nothing to read. */
#define HW_STATUS_WOULD_BLOCK 10u
/* Yes, to a question. */
#define HW_STATUS_AGREED 11u

/* What a plugin promises; bits that the agent does not know are ignored. */
/* It understands control::SHARE. */
#define HW_CAPABILITY_CONCURRENT 1u
/* What it does to a batch depends on that batch alone: the agent may make one instance for each
 * worker. */
#define HW_CAPABILITY_STATELESS 2u
/* A parser whose texts may be cut where its cut says. */
#define HW_CAPABILITY_SPLITTABLE 4u
/* An input that ends by itself. */
#define HW_CAPABILITY_FINITE 8u
/* An output whose write is as quick as a local write: the agent calls it on the worker that
 * made the batch. */
#define HW_CAPABILITY_DIRECT 16u
/* An output that takes serialized bytes: data_format in its table chooses the serializer. */
#define HW_CAPABILITY_SERIALIZED 32u
/* An input that makes bytes: data_format in its table chooses the parser. */
#define HW_CAPABILITY_PARSED 64u
/* An input whose points compare with the gather before: a single gather (--once) is preceded by
 * one that nobody sees. */
#define HW_CAPABILITY_DIFFERENTIAL 128u

/* Kinds of plugins. */
/* Gathered at intervals. */
#define HW_PLUGIN_INPUT 1u
/* Runs by itself once started. */
#define HW_PLUGIN_SERVICE_INPUT 2u
/* Bytes to batches. */
#define HW_PLUGIN_PARSER 3u
/* Batches to bytes. */
#define HW_PLUGIN_SERIALIZER 4u
/* Batches to batches, with a timer. */
#define HW_PLUGIN_PROCESSOR 5u
/* Batches to windows to batches. */
#define HW_PLUGIN_AGGREGATOR 6u
/* Batches to elsewhere. */
#define HW_PLUGIN_OUTPUT 7u

/* What Descriptor::describe is asked for. */
/* The schema of the options, as TOML. */
#define HW_DESCRIBE_SCHEMA 1u
/* A sample configuration. */
#define HW_DESCRIBE_SAMPLE 2u

/* What travels in order with the data, besides the data. */
/* The source will send nothing more. */
#define HW_CONTROL_END 1u
/* The source's event time has reached value without data. */
#define HW_CONTROL_PROGRESS 2u
/* The source has been silent. */
#define HW_CONTROL_IDLE 3u
/* Emit what is complete. */
#define HW_CONTROL_FLUSH 4u
/* A checkpoint of number value stands here. */
#define HW_CONTROL_BARRIER 5u
/* The last call before the end: emit what is open. */
#define HW_CONTROL_STOP 6u
/* A source begins; value 1 if it is finite. */
#define HW_CONTROL_BEGIN 7u
/* Before any batch, to a processor with CONCURRENT: whether calls of process may overlap from
 * now on, and batches of one source overtake each other. AGREED means yes, anything else no.
 * All other calls stay exclusive. */
#define HW_CONTROL_SHARE 8u
/* After SHARE: all batches of the source up to event time value have been processed. */
#define HW_CONTROL_REACHED 9u

/* How the bytes of a source make texts for the parser. */
/* A stream of lines; the agent cuts it where the parser allows. */
#define HW_FRAMING_LINES 1u
/* One text from the first byte to the end of the source. */
#define HW_FRAMING_WHOLE 2u
/* Each read tells where its messages end; each message is a text of its own. */
#define HW_FRAMING_MESSAGES 3u

/* Flags of hw_source_spec. */
/* The source ends by itself (a file): windows wait for it. */
#define HW_SOURCE_FINITE 1u
/* The input wants settlements of this source. */
#define HW_SOURCE_ACKNOWLEDGED 2u
/* push-back is impossible (datagrams): what does not fit is dropped and counted. */
#define HW_SOURCE_LOSSY 4u

/* Flags of hw_chunk. */
/* Nothing follows: a last line without a line end is complete. */
#define HW_CHUNK_FINAL 1u
/* The source wants settlements, by token. */
#define HW_CHUNK_TOKEN 2u

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

typedef struct hw_symbol hw_symbol;
typedef struct hw_series hw_series;
typedef struct hw_tag hw_tag;
typedef struct hw_shape hw_shape;
typedef struct hw_field hw_field;
typedef struct hw_row hw_row;
typedef struct hw_section hw_section;
typedef struct hw_tables hw_tables;
typedef struct hw_delivery_functions hw_delivery_functions;
typedef struct hw_delivery hw_delivery;
typedef struct hw_batch hw_batch;
typedef struct hw_bytes hw_bytes;
typedef struct hw_taker hw_taker;
typedef struct hw_owned_bytes hw_owned_bytes;
typedef struct hw_context hw_context;
typedef struct hw_report hw_report;
typedef struct hw_chunk hw_chunk;
typedef struct hw_sink_functions hw_sink_functions;
typedef struct hw_sink hw_sink;
typedef struct hw_read hw_read;
typedef struct hw_source_functions hw_source_functions;
typedef struct hw_source_spec hw_source_spec;
typedef struct hw_watcher hw_watcher;
typedef struct hw_intake_functions hw_intake_functions;
typedef struct hw_intake hw_intake;
typedef struct hw_settlement hw_settlement;
typedef struct hw_host_functions hw_host_functions;
typedef struct hw_host hw_host;
typedef struct hw_lifecycle_functions hw_lifecycle_functions;
typedef struct hw_instance hw_instance;
typedef struct hw_descriptor hw_descriptor;
typedef struct hw_input_functions hw_input_functions;
typedef struct hw_input_plugin hw_input_plugin;
typedef struct hw_input_plugins hw_input_plugins;
typedef struct hw_service_functions hw_service_functions;
typedef struct hw_service_plugin hw_service_plugin;
typedef struct hw_service_plugins hw_service_plugins;
typedef struct hw_parser_functions hw_parser_functions;
typedef struct hw_parser_plugin hw_parser_plugin;
typedef struct hw_parser_plugins hw_parser_plugins;
typedef struct hw_serializer_functions hw_serializer_functions;
typedef struct hw_serializer_plugin hw_serializer_plugin;
typedef struct hw_serializer_plugins hw_serializer_plugins;
typedef struct hw_processor_functions hw_processor_functions;
typedef struct hw_processor_plugin hw_processor_plugin;
typedef struct hw_processor_plugins hw_processor_plugins;
typedef struct hw_aggregator_functions hw_aggregator_functions;
typedef struct hw_aggregator_plugin hw_aggregator_plugin;
typedef struct hw_aggregator_plugins hw_aggregator_plugins;
typedef struct hw_output_functions hw_output_functions;
typedef struct hw_output_plugin hw_output_plugin;
typedef struct hw_output_plugins hw_output_plugins;
typedef struct hw_memory_functions hw_memory_functions;
typedef struct hw_setup hw_setup;
typedef struct hw_root hw_root;

/* Text in the arena of its own table set: offset and length in bytes. */
struct hw_symbol {
    /* First byte. */
    uint32_t offset;
    /* Bytes. */
    uint32_t len;
};
HW_ASSERT(sizeof(hw_symbol) == 8, hw_symbol);
HW_ASSERT(offsetof(hw_symbol, offset) == 0, hw_symbol_offset);
HW_ASSERT(offsetof(hw_symbol, len) == 4, hw_symbol_len);

/* A measurement name with its tags and metadata. Its text is one block in the arena: the
 * canonical key (name,tag=value,..., tags sorted by key bytes, escaped as in line protocol)
 * and, if anything in it is escaped, the bare texts behind it. A block is therefore copied
 * whole, and line protocol is written by one copy of the key. */
struct hw_series {
    /* XXH3, see series_hash. */
    uint64_t hash;
    /* First byte of the block in the arena. */
    uint32_t text;
    /* Bytes of the block. */
    uint32_t text_len;
    /* Bytes of the canonical key, with which the block begins. */
    uint32_t key_len;
    /* The bare measurement name, relative to the block. */
    uint32_t name;
    /* Bytes of the bare measurement name. */
    uint32_t name_len;
    /* First tag in the tag table. */
    uint32_t tags;
    /* Number of tags. */
    uint32_t tag_count;
    /* What the producer of this batch calls the series in its own tables, plus one; 0 if it has
     * no name for it. A consumer may use it to find its own state and must compare the hash. */
    uint32_t hint;
    /* Metadata: a metric_kind code. Not part of the identity. */
    uint8_t kind;
    /* Reserved, 0. */
    uint8_t flags;
    /* Reserved, 0. */
    uint8_t reserved[6];
};
HW_ASSERT(sizeof(hw_series) == 48, hw_series);
HW_ASSERT(offsetof(hw_series, hash) == 0, hw_series_hash);
HW_ASSERT(offsetof(hw_series, text) == 8, hw_series_text);
HW_ASSERT(offsetof(hw_series, text_len) == 12, hw_series_text_len);
HW_ASSERT(offsetof(hw_series, key_len) == 16, hw_series_key_len);
HW_ASSERT(offsetof(hw_series, name) == 20, hw_series_name);
HW_ASSERT(offsetof(hw_series, name_len) == 24, hw_series_name_len);
HW_ASSERT(offsetof(hw_series, tags) == 28, hw_series_tags);
HW_ASSERT(offsetof(hw_series, tag_count) == 32, hw_series_tag_count);
HW_ASSERT(offsetof(hw_series, hint) == 36, hw_series_hint);
HW_ASSERT(offsetof(hw_series, kind) == 40, hw_series_kind);
HW_ASSERT(offsetof(hw_series, flags) == 41, hw_series_flags);
HW_ASSERT(offsetof(hw_series, reserved) == 42, hw_series_reserved);

/* One tag; offsets are relative to the block of its series. */
struct hw_tag {
    /* First byte of the key. */
    uint32_t key;
    /* Bytes of the key. */
    uint32_t key_len;
    /* First byte of the value. */
    uint32_t value;
    /* Bytes of the value. */
    uint32_t value_len;
};
HW_ASSERT(sizeof(hw_tag) == 16, hw_tag);
HW_ASSERT(offsetof(hw_tag, key) == 0, hw_tag_key);
HW_ASSERT(offsetof(hw_tag, key_len) == 4, hw_tag_key_len);
HW_ASSERT(offsetof(hw_tag, value) == 8, hw_tag_value);
HW_ASSERT(offsetof(hw_tag, value_len) == 12, hw_tag_value_len);

/* A distinct list of fields. */
struct hw_shape {
    /* First field in the field table. */
    uint32_t fields;
    /* Number of fields. */
    uint32_t field_count;
    /* How many payloads a row of this shape owns in the value table; more than the fields where
     * an overlay has left some out. */
    uint32_t slots;
    /* Reserved, 0. */
    uint32_t flags;
};
HW_ASSERT(sizeof(hw_shape) == 16, hw_shape);
HW_ASSERT(offsetof(hw_shape, fields) == 0, hw_shape_fields);
HW_ASSERT(offsetof(hw_shape, field_count) == 4, hw_shape_field_count);
HW_ASSERT(offsetof(hw_shape, slots) == 8, hw_shape_slots);
HW_ASSERT(offsetof(hw_shape, flags) == 12, hw_shape_flags);

/* One field of a shape. */
struct hw_field {
    /* Its key, in the symbol table of the same table set. */
    uint32_t key;
    /* Where its payload stands, counted from the row's first. */
    uint32_t slot;
    /* A kind code. */
    uint8_t kind;
    /* Reserved, 0. */
    uint8_t flags;
    /* Reserved, 0. */
    uint8_t reserved[2];
};
HW_ASSERT(sizeof(hw_field) == 12, hw_field);
HW_ASSERT(offsetof(hw_field, key) == 0, hw_field_key);
HW_ASSERT(offsetof(hw_field, slot) == 4, hw_field_slot);
HW_ASSERT(offsetof(hw_field, kind) == 8, hw_field_kind);
HW_ASSERT(offsetof(hw_field, flags) == 9, hw_field_flags);
HW_ASSERT(offsetof(hw_field, reserved) == 10, hw_field_reserved);

/* One point. */
struct hw_row {
    /* Nanoseconds since the Unix epoch. */
    int64_t time;
    /* Index into the series table. */
    uint32_t series;
    /* Index into the shape table. */
    uint32_t shape;
    /* Index of the first payload in the value table. */
    uint32_t values;
    /* Reserved, 0. */
    uint32_t flags;
};
HW_ASSERT(sizeof(hw_row) == 24, hw_row);
HW_ASSERT(offsetof(hw_row, time) == 0, hw_row_time);
HW_ASSERT(offsetof(hw_row, series) == 8, hw_row_series);
HW_ASSERT(offsetof(hw_row, shape) == 12, hw_row_shape);
HW_ASSERT(offsetof(hw_row, values) == 16, hw_row_values);
HW_ASSERT(offsetof(hw_row, flags) == 20, hw_row_flags);

/* One entry of the directory. */
struct hw_section {
    /* What the section is, see section. */
    uint32_t id;
    /* HW_SECTION_MUST_UNDERSTAND. */
    uint32_t flags;
    /* Bytes of one element. */
    uint32_t element_size;
    /* Reserved, 0. */
    uint32_t reserved;
    /* First element, aligned to 8 bytes. */
    const uint8_t *data;
    /* Number of elements. */
    uint64_t len;
};
HW_ASSERT(sizeof(hw_section) == 32, hw_section);
HW_ASSERT(offsetof(hw_section, id) == 0, hw_section_id);
HW_ASSERT(offsetof(hw_section, flags) == 4, hw_section_flags);
HW_ASSERT(offsetof(hw_section, element_size) == 8, hw_section_element_size);
HW_ASSERT(offsetof(hw_section, reserved) == 12, hw_section_reserved);
HW_ASSERT(offsetof(hw_section, data) == 16, hw_section_data);
HW_ASSERT(offsetof(hw_section, len) == 24, hw_section_len);

/* The head of a set of tables. Later versions may be longer: size tells. */
struct hw_tables {
    /* Bytes of this head. */
    uint32_t size;
    /* Layout version, major in the high half. */
    uint32_t version;
    /* Number of sections. */
    uint32_t section_count;
    /* Reserved, 0. */
    uint32_t flags;
    /* The directory of sections. */
    const hw_section *sections;
    /* Adds one owner. */
    void (*retain)(const hw_tables *);
    /* Takes one owner away; the last one frees the set. */
    void (*release)(const hw_tables *);
};
HW_ASSERT(sizeof(hw_tables) == 40, hw_tables);
HW_ASSERT(offsetof(hw_tables, size) == 0, hw_tables_size);
HW_ASSERT(offsetof(hw_tables, version) == 4, hw_tables_version);
HW_ASSERT(offsetof(hw_tables, section_count) == 8, hw_tables_section_count);
HW_ASSERT(offsetof(hw_tables, flags) == 12, hw_tables_flags);
HW_ASSERT(offsetof(hw_tables, sections) == 16, hw_tables_sections);
HW_ASSERT(offsetof(hw_tables, retain) == 24, hw_tables_retain);
HW_ASSERT(offsetof(hw_tables, release) == 32, hw_tables_release);

/* The functions of a delivery handle. */
struct hw_delivery_functions {
    /* Bytes of this struct. */
    uint64_t size;
    /* Makes one clone more. */
    void (*retain)(void *data);
    /* Settles one clone with the code of an Outcome. */
    void (*settle)(void *data, uint32_t outcome);
};
HW_ASSERT(sizeof(hw_delivery_functions) == 24, hw_delivery_functions);
HW_ASSERT(offsetof(hw_delivery_functions, size) == 0, hw_delivery_functions_size);
HW_ASSERT(offsetof(hw_delivery_functions, retain) == 8, hw_delivery_functions_retain);
HW_ASSERT(offsetof(hw_delivery_functions, settle) == 16, hw_delivery_functions_settle);

/* A delivery handle as it crosses. */
struct hw_delivery {
    /* Functions; null for no handle. */
    const hw_delivery_functions *functions;
    /* Their first argument. */
    void *data;
};
HW_ASSERT(sizeof(hw_delivery) == 16, hw_delivery);
HW_ASSERT(offsetof(hw_delivery, functions) == 0, hw_delivery_functions);
HW_ASSERT(offsetof(hw_delivery, data) == 8, hw_delivery_data);

/* One owner's view of a batch. Whoever takes it over sets tables to null. Its size never
 * changes, for envelopes stand in arrays and are written back into their callers' memory: what
 * a later version adds takes the place of a reserved word, where 0 means what was meant before. */
struct hw_batch {
    /* Bytes of this struct. */
    uint32_t size;
    /* Number of live rows. */
    uint32_t live;
    /* The tables as built. */
    const hw_tables *tables;
    /* Stands in for arena, tags and series; null if nothing does. */
    const hw_tables *series;
    /* Stands in for arena, symbols, fields and shapes; null if nothing does. */
    const hw_tables *shapes;
    /* Which rows are alive; null if all are. */
    const hw_tables *selection;
    /* The delivery handle, empty if there is none. */
    hw_delivery delivery;
    /* The source, 0 if unknown. */
    uint64_t origin;
    /* The place in the source's order. */
    uint64_t sequence;
    /* Earliest time, nanoseconds since the epoch. */
    int64_t time_min;
    /* Latest time, nanoseconds since the epoch. */
    int64_t time_max;
    /* Reserved, 0. */
    uint64_t reserved[4];
};
HW_ASSERT(sizeof(hw_batch) == 120, hw_batch);
HW_ASSERT(offsetof(hw_batch, size) == 0, hw_batch_size);
HW_ASSERT(offsetof(hw_batch, live) == 4, hw_batch_live);
HW_ASSERT(offsetof(hw_batch, tables) == 8, hw_batch_tables);
HW_ASSERT(offsetof(hw_batch, series) == 16, hw_batch_series);
HW_ASSERT(offsetof(hw_batch, shapes) == 24, hw_batch_shapes);
HW_ASSERT(offsetof(hw_batch, selection) == 32, hw_batch_selection);
HW_ASSERT(offsetof(hw_batch, delivery) == 40, hw_batch_delivery);
HW_ASSERT(offsetof(hw_batch, origin) == 56, hw_batch_origin);
HW_ASSERT(offsetof(hw_batch, sequence) == 64, hw_batch_sequence);
HW_ASSERT(offsetof(hw_batch, time_min) == 72, hw_batch_time_min);
HW_ASSERT(offsetof(hw_batch, time_max) == 80, hw_batch_time_max);
HW_ASSERT(offsetof(hw_batch, reserved) == 88, hw_batch_reserved);

/* Text or bytes: pointer and length. It lives as long as the call it is passed to, or for ever
 * in a descriptor. */
struct hw_bytes {
    /* First byte; anything if len is 0. */
    const uint8_t *data;
    /* Bytes. */
    size_t len;
};
HW_ASSERT(sizeof(hw_bytes) == 16, hw_bytes);
HW_ASSERT(offsetof(hw_bytes, data) == 0, hw_bytes_data);
HW_ASSERT(offsetof(hw_bytes, len) == 8, hw_bytes_len);

/* Where a callee puts bytes of any length: called once, or more often for pieces. */
struct hw_taker {
    /* First argument of the function. */
    void *argument;
    /* Takes bytes that live for its call. */
    void (*take)(void *argument, hw_bytes bytes);
};
HW_ASSERT(sizeof(hw_taker) == 16, hw_taker);
HW_ASSERT(offsetof(hw_taker, argument) == 0, hw_taker_argument);
HW_ASSERT(offsetof(hw_taker, take) == 8, hw_taker_take);

/* Bytes and how to give them back. */
struct hw_owned_bytes {
    /* Bytes of this struct. */
    uint64_t size;
    /* First byte. */
    void *data;
    /* Bytes. */
    uint64_t len;
    /* Bytes that could be held. */
    uint64_t capacity;
    /* Gives them back. */
    void (*free)(void *data, uint64_t len, uint64_t capacity);
};
HW_ASSERT(sizeof(hw_owned_bytes) == 40, hw_owned_bytes);
HW_ASSERT(offsetof(hw_owned_bytes, size) == 0, hw_owned_bytes_size);
HW_ASSERT(offsetof(hw_owned_bytes, data) == 8, hw_owned_bytes_data);
HW_ASSERT(offsetof(hw_owned_bytes, len) == 16, hw_owned_bytes_len);
HW_ASSERT(offsetof(hw_owned_bytes, capacity) == 24, hw_owned_bytes_capacity);
HW_ASSERT(offsetof(hw_owned_bytes, free) == 32, hw_owned_bytes_free);

/* What every call is told. It lives as long as the call. */
struct hw_context {
    /* Bytes of this struct. */
    uint32_t size;
    /* Reserved, 0. */
    uint32_t flags;
    /* The agent's clock: nanoseconds since the Unix epoch. */
    int64_t now_ns;
    /* Nanoseconds from the beginning of the call by which it should be done; u64::MAX for none. */
    uint64_t timeout_ns;
    /* Not zero once the call should give up; null if it never will. */
    const uint32_t *cancel;
};
HW_ASSERT(sizeof(hw_context) == 32, hw_context);
HW_ASSERT(offsetof(hw_context, size) == 0, hw_context_size);
HW_ASSERT(offsetof(hw_context, flags) == 4, hw_context_flags);
HW_ASSERT(offsetof(hw_context, now_ns) == 8, hw_context_now_ns);
HW_ASSERT(offsetof(hw_context, timeout_ns) == 16, hw_context_timeout_ns);
HW_ASSERT(offsetof(hw_context, cancel) == 24, hw_context_cancel);

/* What a failed call tells. The caller sets it up; the callee fills it. */
struct hw_report {
    /* Bytes of this struct. */
    uint32_t size;
    /* Reserved, 0. */
    uint32_t flags;
    /* With RETRY_AFTER: nanoseconds. */
    uint64_t retry_after_ns;
    /* With BAD_CONFIG: the span in the configuration text; u64::MAX for none. */
    uint64_t span_start;
    /* End of the span. */
    uint64_t span_end;
    /* First argument of the functions. */
    void *data;
    /* Sets the sentence for a person. */
    void (*message)(void *data, const uint8_t *text, size_t len);
    /* With BAD_CONFIG: names the key. */
    void (*key)(void *data, const uint8_t *text, size_t len);
    /* With PARTIAL: names a refused row by its batch's place in the call and its index. */
    void (*refused)(void *data, uint32_t batch, uint32_t row);
};
HW_ASSERT(sizeof(hw_report) == 64, hw_report);
HW_ASSERT(offsetof(hw_report, size) == 0, hw_report_size);
HW_ASSERT(offsetof(hw_report, flags) == 4, hw_report_flags);
HW_ASSERT(offsetof(hw_report, retry_after_ns) == 8, hw_report_retry_after_ns);
HW_ASSERT(offsetof(hw_report, span_start) == 16, hw_report_span_start);
HW_ASSERT(offsetof(hw_report, span_end) == 24, hw_report_span_end);
HW_ASSERT(offsetof(hw_report, data) == 32, hw_report_data);
HW_ASSERT(offsetof(hw_report, message) == 40, hw_report_message);
HW_ASSERT(offsetof(hw_report, key) == 48, hw_report_key);
HW_ASSERT(offsetof(hw_report, refused) == 56, hw_report_refused);

/* What a parser is given. It lives as long as the call. */
struct hw_chunk {
    /* Bytes of this struct. */
    uint32_t size;
    /* chunk_flag. */
    uint32_t flags;
    /* The bytes; 32 readable ones stand behind them. */
    const uint8_t *data;
    /* Bytes. */
    uint64_t len;
    /* The time of points that carry none: nanoseconds since the epoch. */
    int64_t default_time_ns;
    /* The source's number. */
    uint64_t origin;
    /* With bytes that a plugin pushes: its token for settlements, told when TOKEN is set. */
    uint64_t token;
    /* With bytes that a plugin pushes: tags for the points, as key\0value\0key\0value\0. */
    hw_bytes tags;
};
HW_ASSERT(sizeof(hw_chunk) == 64, hw_chunk);
HW_ASSERT(offsetof(hw_chunk, size) == 0, hw_chunk_size);
HW_ASSERT(offsetof(hw_chunk, flags) == 4, hw_chunk_flags);
HW_ASSERT(offsetof(hw_chunk, data) == 8, hw_chunk_data);
HW_ASSERT(offsetof(hw_chunk, len) == 16, hw_chunk_len);
HW_ASSERT(offsetof(hw_chunk, default_time_ns) == 24, hw_chunk_default_time_ns);
HW_ASSERT(offsetof(hw_chunk, origin) == 32, hw_chunk_origin);
HW_ASSERT(offsetof(hw_chunk, token) == 40, hw_chunk_token);
HW_ASSERT(offsetof(hw_chunk, tags) == 48, hw_chunk_tags);

/* Where plugins put what they make. One table for all kinds; what a call does not offer answers
 * FAILED. */
struct hw_sink_functions {
    hw_table table;
    /* Takes a hw_batch * over; WOULD_BLOCK leaves it with the caller. */
    uint32_t (*try_push)(void *data, void *batch);
    /* As try_push, but waits for room, at most so many nanoseconds. */
    uint32_t (*push)(void *data, void *batch, uint64_t timeout_ns);
    /* Takes bytes, a const hw_chunk *, to be parsed. framing as in hw_source_spec. */
    uint32_t (*push_bytes)(void *data, void *chunk, uint32_t framing);
    /* From a parser: a piece of the chunk was refused. Offset and length in the chunk, the
     * offset of the error itself, a sentence. */
    void (*bad)(void *data, uint64_t offset, uint64_t len, uint64_t at, hw_bytes message);
    /* From a parser: how many lines it read, bad ones too. */
    void (*lines)(void *data, uint64_t lines);
};
HW_ASSERT(sizeof(hw_sink_functions) == 56, hw_sink_functions);
HW_ASSERT(offsetof(hw_sink_functions, try_push) == 16, hw_sink_functions_try_push);
HW_ASSERT(offsetof(hw_sink_functions, push) == 24, hw_sink_functions_push);
HW_ASSERT(offsetof(hw_sink_functions, push_bytes) == 32, hw_sink_functions_push_bytes);
HW_ASSERT(offsetof(hw_sink_functions, bad) == 40, hw_sink_functions_bad);
HW_ASSERT(offsetof(hw_sink_functions, lines) == 48, hw_sink_functions_lines);

/* A sink as it crosses. */
struct hw_sink {
    /* Functions. */
    const hw_sink_functions *functions;
    /* Their first argument. */
    void *data;
};
HW_ASSERT(sizeof(hw_sink) == 16, hw_sink);
HW_ASSERT(offsetof(hw_sink, functions) == 0, hw_sink_functions);
HW_ASSERT(offsetof(hw_sink, data) == 8, hw_sink_data);

/* What one read gave. */
struct hw_read {
    /* Bytes of this struct. */
    uint32_t size;
    /* Number of messages (with MESSAGES), at most message_capacity. */
    uint32_t message_count;
    /* Bytes read. */
    uint64_t len;
    /* With MESSAGES: room for the end offset of each message in the buffer. */
    uint32_t *messages;
    /* Entries that messages has room for. */
    uint32_t message_capacity;
    /* Datagrams the kernel dropped since the last read, where it tells. */
    uint32_t lost;
    /* With ACKNOWLEDGED and MESSAGES: the token of what was read. Streams are acknowledged by
     * position. */
    uint64_t token;
};
HW_ASSERT(sizeof(hw_read) == 40, hw_read);
HW_ASSERT(offsetof(hw_read, size) == 0, hw_read_size);
HW_ASSERT(offsetof(hw_read, message_count) == 4, hw_read_message_count);
HW_ASSERT(offsetof(hw_read, len) == 8, hw_read_len);
HW_ASSERT(offsetof(hw_read, messages) == 16, hw_read_messages);
HW_ASSERT(offsetof(hw_read, message_capacity) == 24, hw_read_message_capacity);
HW_ASSERT(offsetof(hw_read, lost) == 28, hw_read_lost);
HW_ASSERT(offsetof(hw_read, token) == 32, hw_read_token);

/* The functions of a source of bytes. Calls on one source never overlap. */
struct hw_source_functions {
    hw_table table;
    /* Reads into the buffer and fills the hw_read *. WOULD_BLOCK: wait for the descriptor or a
     * wake. END: the source is finished; len may still be more than 0. FAILED: it is closed,
     * with the sentence in the hw_report *. */
    uint32_t (*read)(void *data, void *context, void *buffer, uint64_t capacity, void *read, void *report);
    /* Frees the source. */
    void (*drop)(void *data);
};
HW_ASSERT(sizeof(hw_source_functions) == 32, hw_source_functions);
HW_ASSERT(offsetof(hw_source_functions, read) == 16, hw_source_functions_read);
HW_ASSERT(offsetof(hw_source_functions, drop) == 24, hw_source_functions_drop);

/* What a source of bytes is, when an input opens it. */
struct hw_source_spec {
    /* Bytes of this struct. */
    uint32_t size;
    /* framing. */
    uint32_t framing;
    /* source_flag. */
    uint32_t flags;
    /* A descriptor to wait on for readability; -1 if read never blocks or the input wakes it. */
    int32_t descriptor;
    /* The stream position of the first byte that read gives. */
    uint64_t start;
    /* A name for messages, such as a path or a peer's address. */
    hw_bytes name;
    /* Tags for all its points, as key\0value\0key\0value\0. */
    hw_bytes tags;
    /* The functions of the source. */
    const hw_source_functions *functions;
    /* Their first argument. */
    void *data;
};
HW_ASSERT(sizeof(hw_source_spec) == 72, hw_source_spec);
HW_ASSERT(offsetof(hw_source_spec, size) == 0, hw_source_spec_size);
HW_ASSERT(offsetof(hw_source_spec, framing) == 4, hw_source_spec_framing);
HW_ASSERT(offsetof(hw_source_spec, flags) == 8, hw_source_spec_flags);
HW_ASSERT(offsetof(hw_source_spec, descriptor) == 12, hw_source_spec_descriptor);
HW_ASSERT(offsetof(hw_source_spec, start) == 16, hw_source_spec_start);
HW_ASSERT(offsetof(hw_source_spec, name) == 24, hw_source_spec_name);
HW_ASSERT(offsetof(hw_source_spec, tags) == 40, hw_source_spec_tags);
HW_ASSERT(offsetof(hw_source_spec, functions) == 56, hw_source_spec_functions);
HW_ASSERT(offsetof(hw_source_spec, data) == 64, hw_source_spec_data);

/* What a plugin does when a descriptor is readable. */
struct hw_watcher {
    /* First argument of the functions. */
    void *argument;
    /* Called each time, until it answers other than OK or WOULD_BLOCK. */
    uint32_t (*ready)(void *argument, void *context);
    /* Frees the argument. */
    void (*drop)(void *argument);
};
HW_ASSERT(sizeof(hw_watcher) == 24, hw_watcher);
HW_ASSERT(offsetof(hw_watcher, argument) == 0, hw_watcher_argument);
HW_ASSERT(offsetof(hw_watcher, ready) == 8, hw_watcher_ready);
HW_ASSERT(offsetof(hw_watcher, drop) == 16, hw_watcher_drop);

/* What a service input is given at its start, besides the sink. */
struct hw_intake_functions {
    hw_table table;
    /* Opens a source, a const hw_source_spec *; gives its number, 0 if there is no room for
     * more. The agent owns data of the spec in either case. */
    uint64_t (*open)(void *data, void *spec);
    /* Says that a source may have something to read. */
    void (*wake)(void *data, uint64_t source);
    /* Ends a source after what it has read is worked off. */
    void (*close)(void *data, uint64_t source);
    /* Waits for readability of a descriptor on the agent's threads and calls the watcher. Gives
     * the watch's number, a source for wake and close. */
    uint64_t (*watch)(void *data, int32_t descriptor, hw_watcher watcher);
    /* One clone more of the intake. */
    void (*retain)(void *data);
    /* Gives a clone back. */
    void (*release)(void *data);
    /* The sink for batches and bytes that the input makes itself. It lives as long as the
     * intake. */
    hw_sink (*sink)(void *data);
};
HW_ASSERT(sizeof(hw_intake_functions) == 72, hw_intake_functions);
HW_ASSERT(offsetof(hw_intake_functions, open) == 16, hw_intake_functions_open);
HW_ASSERT(offsetof(hw_intake_functions, wake) == 24, hw_intake_functions_wake);
HW_ASSERT(offsetof(hw_intake_functions, close) == 32, hw_intake_functions_close);
HW_ASSERT(offsetof(hw_intake_functions, watch) == 40, hw_intake_functions_watch);
HW_ASSERT(offsetof(hw_intake_functions, retain) == 48, hw_intake_functions_retain);
HW_ASSERT(offsetof(hw_intake_functions, release) == 56, hw_intake_functions_release);
HW_ASSERT(offsetof(hw_intake_functions, sink) == 64, hw_intake_functions_sink);

/* An intake as it crosses: one clone. */
struct hw_intake {
    /* Functions. */
    const hw_intake_functions *functions;
    /* Their first argument. */
    void *data;
};
HW_ASSERT(sizeof(hw_intake) == 16, hw_intake);
HW_ASSERT(offsetof(hw_intake, functions) == 0, hw_intake_functions);
HW_ASSERT(offsetof(hw_intake, data) == 8, hw_intake_data);

/* What became of a chunk or batch of a source. */
struct hw_settlement {
    /* The source's number. */
    uint64_t source;
    /* The token, or for streams the position behind the settled bytes. */
    uint64_t token;
    /* The code of an Outcome. */
    uint32_t outcome;
    /* Reserved, 0. */
    uint32_t flags;
};
HW_ASSERT(sizeof(hw_settlement) == 24, hw_settlement);
HW_ASSERT(offsetof(hw_settlement, source) == 0, hw_settlement_source);
HW_ASSERT(offsetof(hw_settlement, token) == 8, hw_settlement_token);
HW_ASSERT(offsetof(hw_settlement, outcome) == 16, hw_settlement_outcome);
HW_ASSERT(offsetof(hw_settlement, flags) == 20, hw_settlement_flags);

/* The services of the agent. */
struct hw_host_functions {
    hw_table table;
    /* Writes a line to the agent's log: level 1 error, 2 warning, 3 information, 4 debug. */
    void (*log)(void *data, uint32_t level, hw_bytes message);
    /* Nanoseconds since the Unix epoch, by the agent's clock. */
    int64_t (*now)(void *data);
    /* The counter of this name among the plugin's self-metrics: a const uint64_t * that lives
     * for ever. Kind 1 counter, 2 gauge (an i64). */
    void *(*counter)(void *data, hw_bytes name, uint32_t kind);
    /* Hands the state stored under the key to the taker, once; nothing if there is none. */
    uint32_t (*load_state)(void *data, hw_bytes key, hw_taker taker);
    /* Stores state durably under the key. */
    uint32_t (*save_state)(void *data, hw_bytes key, hw_bytes state, void *report);
    /* Hands the secret of a reference (@{store:key}) to the taker. */
    uint32_t (*secret)(void *data, hw_bytes reference, hw_taker taker, void *report);
    /* Makes a serializer by name with a configuration of its own: fills a hw_instance * with
     * functions of the serializer kind. */
    uint32_t (*serializer)(void *data, hw_bytes name, hw_bytes config, void *out, void *report);
    /* Makes a parser by name, as serializer. */
    uint32_t (*parser)(void *data, hw_bytes name, hw_bytes config, void *out, void *report);
    /* Hands all self-metrics to the taker, one serial batch. */
    uint32_t (*self_metrics)(void *data, hw_taker taker);
    /* One clone more of the host handle. */
    void (*retain)(void *data);
    /* Gives a clone back. */
    void (*release)(void *data);
    /* Since 1.1: 1 if stored state outlives the process, 0 if it does not. */
    uint32_t (*keeps_state)(void *data);
};
HW_ASSERT(sizeof(hw_host_functions) == 112, hw_host_functions);
HW_ASSERT(offsetof(hw_host_functions, log) == 16, hw_host_functions_log);
HW_ASSERT(offsetof(hw_host_functions, now) == 24, hw_host_functions_now);
HW_ASSERT(offsetof(hw_host_functions, counter) == 32, hw_host_functions_counter);
HW_ASSERT(offsetof(hw_host_functions, load_state) == 40, hw_host_functions_load_state);
HW_ASSERT(offsetof(hw_host_functions, save_state) == 48, hw_host_functions_save_state);
HW_ASSERT(offsetof(hw_host_functions, secret) == 56, hw_host_functions_secret);
HW_ASSERT(offsetof(hw_host_functions, serializer) == 64, hw_host_functions_serializer);
HW_ASSERT(offsetof(hw_host_functions, parser) == 72, hw_host_functions_parser);
HW_ASSERT(offsetof(hw_host_functions, self_metrics) == 80, hw_host_functions_self_metrics);
HW_ASSERT(offsetof(hw_host_functions, retain) == 88, hw_host_functions_retain);
HW_ASSERT(offsetof(hw_host_functions, release) == 96, hw_host_functions_release);
HW_ASSERT(offsetof(hw_host_functions, keeps_state) == 104, hw_host_functions_keeps_state);

/* The services as they cross: one clone, bound to one instance's name. */
struct hw_host {
    /* Functions. */
    const hw_host_functions *functions;
    /* Their first argument. */
    void *data;
};
HW_ASSERT(sizeof(hw_host) == 16, hw_host);
HW_ASSERT(offsetof(hw_host, functions) == 0, hw_host_functions);
HW_ASSERT(offsetof(hw_host, data) == 8, hw_host_data);

/* Functions that every kind has. context is a const hw_context *, report a hw_report *. */
struct hw_lifecycle_functions {
    hw_table table;
    /* Frees the instance. */
    void (*drop)(void *instance);
    /* Checks what the configuration alone cannot tell. No I/O. */
    uint32_t (*init)(void *instance, void *context, void *report);
    /* Opens connections. Repeated by the agent until it works. */
    uint32_t (*connect)(void *instance, void *context, void *report);
    /* Takes nothing more in; settlements go on. */
    uint32_t (*pause)(void *instance, void *context, void *report);
    /* Ends its work by the context's deadline. */
    uint32_t (*stop)(void *instance, void *context, void *report);
    /* Hands its state to the taker, or nothing if it has none. */
    uint32_t (*snapshot)(void *instance, void *context, hw_taker taker, void *report);
    /* Takes a state back, before any work. */
    uint32_t (*restore)(void *instance, void *context, hw_bytes state, void *report);
};
HW_ASSERT(sizeof(hw_lifecycle_functions) == 72, hw_lifecycle_functions);
HW_ASSERT(offsetof(hw_lifecycle_functions, drop) == 16, hw_lifecycle_functions_drop);
HW_ASSERT(offsetof(hw_lifecycle_functions, init) == 24, hw_lifecycle_functions_init);
HW_ASSERT(offsetof(hw_lifecycle_functions, connect) == 32, hw_lifecycle_functions_connect);
HW_ASSERT(offsetof(hw_lifecycle_functions, pause) == 40, hw_lifecycle_functions_pause);
HW_ASSERT(offsetof(hw_lifecycle_functions, stop) == 48, hw_lifecycle_functions_stop);
HW_ASSERT(offsetof(hw_lifecycle_functions, snapshot) == 56, hw_lifecycle_functions_snapshot);
HW_ASSERT(offsetof(hw_lifecycle_functions, restore) == 64, hw_lifecycle_functions_restore);

/* An instance made by a host service, written into a place of the plugin's. It never grows:
 * what it points to does. */
struct hw_instance {
    /* Bytes of this struct. */
    uint64_t size;
    /* The instance. */
    void *instance;
    /* The functions every kind has. */
    const hw_lifecycle_functions *lifecycle;
    /* The table of the kind: SerializerFunctionsRef or ParserFunctionsRef as an address. */
    void *functions;
};
HW_ASSERT(sizeof(hw_instance) == 32, hw_instance);
HW_ASSERT(offsetof(hw_instance, size) == 0, hw_instance_size);
HW_ASSERT(offsetof(hw_instance, instance) == 8, hw_instance_instance);
HW_ASSERT(offsetof(hw_instance, lifecycle) == 16, hw_instance_lifecycle);
HW_ASSERT(offsetof(hw_instance, functions) == 24, hw_instance_functions);

/* What stands in a library about one plugin. Texts live for ever. */
struct hw_descriptor {
    hw_table table;
    /* A plugin_kind. */
    uint32_t kind;
    /* capability bits. */
    uint64_t capabilities;
    /* The name in the configuration. */
    hw_bytes name;
    /* The plugin's version. */
    hw_bytes version;
    /* One sentence. */
    hw_bytes summary;
    /* Hands a text about the plugin to the taker, or nothing if it has none of that kind. */
    void (*describe)(uint32_t what, hw_taker taker);
    /* Makes an instance from its table, as TOML, and one clone of the host, which it owns. On
     * OK the instance stands in *out; else the hw_report * tells why. */
    uint32_t (*make)(hw_bytes config, hw_host host, void **out, void *report);
    /* The functions that every kind has. */
    const hw_lifecycle_functions *lifecycle;
};
HW_ASSERT(sizeof(hw_descriptor) == 104, hw_descriptor);
HW_ASSERT(offsetof(hw_descriptor, kind) == 16, hw_descriptor_kind);
HW_ASSERT(offsetof(hw_descriptor, capabilities) == 24, hw_descriptor_capabilities);
HW_ASSERT(offsetof(hw_descriptor, name) == 32, hw_descriptor_name);
HW_ASSERT(offsetof(hw_descriptor, version) == 48, hw_descriptor_version);
HW_ASSERT(offsetof(hw_descriptor, summary) == 64, hw_descriptor_summary);
HW_ASSERT(offsetof(hw_descriptor, describe) == 80, hw_descriptor_describe);
HW_ASSERT(offsetof(hw_descriptor, make) == 88, hw_descriptor_make);
HW_ASSERT(offsetof(hw_descriptor, lifecycle) == 96, hw_descriptor_lifecycle);

/* Functions of inputs that are gathered. */
struct hw_input_functions {
    hw_table table;
    /* Pushes what there is now. */
    uint32_t (*gather)(void *instance, void *context, hw_sink sink, void *report);
};
HW_ASSERT(sizeof(hw_input_functions) == 24, hw_input_functions);
HW_ASSERT(offsetof(hw_input_functions, gather) == 16, hw_input_functions_gather);

/* One plugin of this kind. */
struct hw_input_plugin {
    /* What it is. */
    const hw_descriptor *descriptor;
    /* What it does. */
    const hw_input_functions *functions;
};
HW_ASSERT(sizeof(hw_input_plugin) == 16, hw_input_plugin);
HW_ASSERT(offsetof(hw_input_plugin, descriptor) == 0, hw_input_plugin_descriptor);
HW_ASSERT(offsetof(hw_input_plugin, functions) == 8, hw_input_plugin_functions);

/* A list of plugins of this kind, which lives for ever. */
struct hw_input_plugins {
    /* The first. */
    const hw_input_plugin *data;
    /* How many. */
    size_t len;
};
HW_ASSERT(sizeof(hw_input_plugins) == 16, hw_input_plugins);
HW_ASSERT(offsetof(hw_input_plugins, data) == 0, hw_input_plugins_data);
HW_ASSERT(offsetof(hw_input_plugins, len) == 8, hw_input_plugins_len);

/* Functions of inputs that run by themselves. */
struct hw_service_functions {
    hw_table table;
    /* Begins; the instance owns the clone of the intake. */
    uint32_t (*start)(void *instance, void *context, hw_intake intake, void *report);
    /* Tells what became of what it pushed: an array of hw_settlement. Called on a thread of its
     * own, never overlapping itself, also while paused. */
    uint32_t (*settled)(void *instance, void *context, void *settlements, uint64_t count);
};
HW_ASSERT(sizeof(hw_service_functions) == 32, hw_service_functions);
HW_ASSERT(offsetof(hw_service_functions, start) == 16, hw_service_functions_start);
HW_ASSERT(offsetof(hw_service_functions, settled) == 24, hw_service_functions_settled);

/* One plugin of this kind. */
struct hw_service_plugin {
    /* What it is. */
    const hw_descriptor *descriptor;
    /* What it does. */
    const hw_service_functions *functions;
};
HW_ASSERT(sizeof(hw_service_plugin) == 16, hw_service_plugin);
HW_ASSERT(offsetof(hw_service_plugin, descriptor) == 0, hw_service_plugin_descriptor);
HW_ASSERT(offsetof(hw_service_plugin, functions) == 8, hw_service_plugin_functions);

/* A list of plugins of this kind, which lives for ever. */
struct hw_service_plugins {
    /* The first. */
    const hw_service_plugin *data;
    /* How many. */
    size_t len;
};
HW_ASSERT(sizeof(hw_service_plugins) == 16, hw_service_plugins);
HW_ASSERT(offsetof(hw_service_plugins, data) == 0, hw_service_plugins_data);
HW_ASSERT(offsetof(hw_service_plugins, len) == 8, hw_service_plugins_len);

/* Functions of parsers. */
struct hw_parser_functions {
    hw_table table;
    /* Where a text may be cut: how many of its bytes make whole records. last is not 0 if
     * nothing follows. 0 if more must be read first. */
    uint64_t (*cut)(void *instance, hw_bytes data, uint32_t last);
    /* Parses a const hw_chunk * into the sink. Bad records are told to the sink and cost
     * themselves alone; a status other than OK gives the whole chunk up. */
    uint32_t (*parse)(void *instance, void *context, void *chunk, hw_sink sink, void *report);
};
HW_ASSERT(sizeof(hw_parser_functions) == 32, hw_parser_functions);
HW_ASSERT(offsetof(hw_parser_functions, cut) == 16, hw_parser_functions_cut);
HW_ASSERT(offsetof(hw_parser_functions, parse) == 24, hw_parser_functions_parse);

/* One plugin of this kind. */
struct hw_parser_plugin {
    /* What it is. */
    const hw_descriptor *descriptor;
    /* What it does. */
    const hw_parser_functions *functions;
};
HW_ASSERT(sizeof(hw_parser_plugin) == 16, hw_parser_plugin);
HW_ASSERT(offsetof(hw_parser_plugin, descriptor) == 0, hw_parser_plugin_descriptor);
HW_ASSERT(offsetof(hw_parser_plugin, functions) == 8, hw_parser_plugin_functions);

/* A list of plugins of this kind, which lives for ever. */
struct hw_parser_plugins {
    /* The first. */
    const hw_parser_plugin *data;
    /* How many. */
    size_t len;
};
HW_ASSERT(sizeof(hw_parser_plugins) == 16, hw_parser_plugins);
HW_ASSERT(offsetof(hw_parser_plugins, data) == 0, hw_parser_plugins_data);
HW_ASSERT(offsetof(hw_parser_plugins, len) == 8, hw_parser_plugins_len);

/* Functions of serializers. */
struct hw_serializer_functions {
    hw_table table;
    /* Makes the bytes of a batch, a const hw_batch * that stays the caller's, and gives them
     * away through a hw_owned_bytes *. */
    uint32_t (*serialize)(void *instance, void *context, void *batch, void *out, void *report);
};
HW_ASSERT(sizeof(hw_serializer_functions) == 24, hw_serializer_functions);
HW_ASSERT(offsetof(hw_serializer_functions, serialize) == 16, hw_serializer_functions_serialize);

/* One plugin of this kind. */
struct hw_serializer_plugin {
    /* What it is. */
    const hw_descriptor *descriptor;
    /* What it does. */
    const hw_serializer_functions *functions;
};
HW_ASSERT(sizeof(hw_serializer_plugin) == 16, hw_serializer_plugin);
HW_ASSERT(offsetof(hw_serializer_plugin, descriptor) == 0, hw_serializer_plugin_descriptor);
HW_ASSERT(offsetof(hw_serializer_plugin, functions) == 8, hw_serializer_plugin_functions);

/* A list of plugins of this kind, which lives for ever. */
struct hw_serializer_plugins {
    /* The first. */
    const hw_serializer_plugin *data;
    /* How many. */
    size_t len;
};
HW_ASSERT(sizeof(hw_serializer_plugins) == 16, hw_serializer_plugins);
HW_ASSERT(offsetof(hw_serializer_plugins, data) == 0, hw_serializer_plugins_data);
HW_ASSERT(offsetof(hw_serializer_plugins, len) == 8, hw_serializer_plugins_len);

/* Functions of processors. */
struct hw_processor_functions {
    hw_table table;
    /* Takes a hw_batch * over and pushes what comes of it. */
    uint32_t (*process)(void *instance, void *context, void *batch, hw_sink sink, void *report);
    /* Does what is due by the clock and writes into next_ns when it wants to be called again:
     * nanoseconds since the epoch, i64::MAX for never. */
    uint32_t (*tick)(void *instance, void *context, hw_sink sink, int64_t *next_ns, void *report);
    /* A control message about a source, in order with its data. */
    uint32_t (*control)(void *instance, void *context, uint32_t what, uint64_t origin, int64_t value, hw_sink sink, void *report);
};
HW_ASSERT(sizeof(hw_processor_functions) == 40, hw_processor_functions);
HW_ASSERT(offsetof(hw_processor_functions, process) == 16, hw_processor_functions_process);
HW_ASSERT(offsetof(hw_processor_functions, tick) == 24, hw_processor_functions_tick);
HW_ASSERT(offsetof(hw_processor_functions, control) == 32, hw_processor_functions_control);

/* One plugin of this kind. */
struct hw_processor_plugin {
    /* What it is. */
    const hw_descriptor *descriptor;
    /* What it does. */
    const hw_processor_functions *functions;
};
HW_ASSERT(sizeof(hw_processor_plugin) == 16, hw_processor_plugin);
HW_ASSERT(offsetof(hw_processor_plugin, descriptor) == 0, hw_processor_plugin_descriptor);
HW_ASSERT(offsetof(hw_processor_plugin, functions) == 8, hw_processor_plugin_functions);

/* A list of plugins of this kind, which lives for ever. */
struct hw_processor_plugins {
    /* The first. */
    const hw_processor_plugin *data;
    /* How many. */
    size_t len;
};
HW_ASSERT(sizeof(hw_processor_plugins) == 16, hw_processor_plugins);
HW_ASSERT(offsetof(hw_processor_plugins, data) == 0, hw_processor_plugins_data);
HW_ASSERT(offsetof(hw_processor_plugins, len) == 8, hw_processor_plugins_len);

/* Functions of aggregators. */
struct hw_aggregator_functions {
    hw_table table;
    /* Adds a batch, a const hw_batch * that stays the caller's. */
    uint32_t (*apply)(void *instance, void *context, void *batch, void *report);
    /* As ProcessorFunctions::tick. */
    uint32_t (*tick)(void *instance, void *context, hw_sink sink, int64_t *next_ns, void *report);
    /* As ProcessorFunctions::control. */
    uint32_t (*control)(void *instance, void *context, uint32_t what, uint64_t origin, int64_t value, hw_sink sink, void *report);
};
HW_ASSERT(sizeof(hw_aggregator_functions) == 40, hw_aggregator_functions);
HW_ASSERT(offsetof(hw_aggregator_functions, apply) == 16, hw_aggregator_functions_apply);
HW_ASSERT(offsetof(hw_aggregator_functions, tick) == 24, hw_aggregator_functions_tick);
HW_ASSERT(offsetof(hw_aggregator_functions, control) == 32, hw_aggregator_functions_control);

/* One plugin of this kind. */
struct hw_aggregator_plugin {
    /* What it is. */
    const hw_descriptor *descriptor;
    /* What it does. */
    const hw_aggregator_functions *functions;
};
HW_ASSERT(sizeof(hw_aggregator_plugin) == 16, hw_aggregator_plugin);
HW_ASSERT(offsetof(hw_aggregator_plugin, descriptor) == 0, hw_aggregator_plugin_descriptor);
HW_ASSERT(offsetof(hw_aggregator_plugin, functions) == 8, hw_aggregator_plugin_functions);

/* A list of plugins of this kind, which lives for ever. */
struct hw_aggregator_plugins {
    /* The first. */
    const hw_aggregator_plugin *data;
    /* How many. */
    size_t len;
};
HW_ASSERT(sizeof(hw_aggregator_plugins) == 16, hw_aggregator_plugins);
HW_ASSERT(offsetof(hw_aggregator_plugins, data) == 0, hw_aggregator_plugins_data);
HW_ASSERT(offsetof(hw_aggregator_plugins, len) == 8, hw_aggregator_plugins_len);

/* Functions of outputs. */
struct hw_output_functions {
    hw_table table;
    /* Makes one attempt to write an array of hw_batch, which stay the caller's. */
    uint32_t (*write)(void *instance, void *context, void *batches, uint64_t count, void *report);
    /* With SERIALIZED: makes one attempt to write bytes. */
    uint32_t (*write_bytes)(void *instance, void *context, hw_bytes bytes, void *report);
};
HW_ASSERT(sizeof(hw_output_functions) == 32, hw_output_functions);
HW_ASSERT(offsetof(hw_output_functions, write) == 16, hw_output_functions_write);
HW_ASSERT(offsetof(hw_output_functions, write_bytes) == 24, hw_output_functions_write_bytes);

/* One plugin of this kind. */
struct hw_output_plugin {
    /* What it is. */
    const hw_descriptor *descriptor;
    /* What it does. */
    const hw_output_functions *functions;
};
HW_ASSERT(sizeof(hw_output_plugin) == 16, hw_output_plugin);
HW_ASSERT(offsetof(hw_output_plugin, descriptor) == 0, hw_output_plugin_descriptor);
HW_ASSERT(offsetof(hw_output_plugin, functions) == 8, hw_output_plugin_functions);

/* A list of plugins of this kind, which lives for ever. */
struct hw_output_plugins {
    /* The first. */
    const hw_output_plugin *data;
    /* How many. */
    size_t len;
};
HW_ASSERT(sizeof(hw_output_plugins) == 16, hw_output_plugins);
HW_ASSERT(offsetof(hw_output_plugins, data) == 0, hw_output_plugins_data);
HW_ASSERT(offsetof(hw_output_plugins, len) == 8, hw_output_plugins_len);

/* The host's memory functions for batches. Part of the frozen interface. */
struct hw_memory_functions {
    /* Returns at least bytes bytes at 64-byte alignment and writes the true capacity through
     * the second pointer; null if there is none. */
    void *(*allocate)(size_t bytes, size_t *capacity);
    /* Takes back a block with the capacity that allocate told. */
    void (*free)(void *block, size_t capacity);
};
HW_ASSERT(sizeof(hw_memory_functions) == 16, hw_memory_functions);
HW_ASSERT(offsetof(hw_memory_functions, allocate) == 0, hw_memory_functions_allocate);
HW_ASSERT(offsetof(hw_memory_functions, free) == 8, hw_memory_functions_free);

/* What a library is told once, when it is loaded. */
struct hw_setup {
    /* Bytes of this struct. */
    uint64_t size;
    /* Memory for batches. */
    const hw_memory_functions *memory;
    /* Where panics go: message and place. */
    void (*panic)(hw_bytes message);
};
HW_ASSERT(sizeof(hw_setup) == 24, hw_setup);
HW_ASSERT(offsetof(hw_setup, size) == 0, hw_setup_size);
HW_ASSERT(offsetof(hw_setup, memory) == 8, hw_setup_memory);
HW_ASSERT(offsetof(hw_setup, panic) == 16, hw_setup_panic);

/* What a library exports. */
struct hw_root {
    hw_table table;
    /* The name of the family. */
    hw_bytes family;
    /* The version of the family. */
    hw_bytes version;
    /* The version of the interface it was built with, major in the high half. */
    uint32_t interface;
    /* Told once, before any other call: a const hw_setup *. */
    void (*set_up)(void *setup);
    /* Its gathered inputs. */
    hw_input_plugins (*inputs)(void);
    /* Its service inputs. */
    hw_service_plugins (*services)(void);
    /* Its parsers. */
    hw_parser_plugins (*parsers)(void);
    /* Its serializers. */
    hw_serializer_plugins (*serializers)(void);
    /* Its processors. */
    hw_processor_plugins (*processors)(void);
    /* Its aggregators. */
    hw_aggregator_plugins (*aggregators)(void);
    /* Its outputs. */
    hw_output_plugins (*outputs)(void);
};
HW_ASSERT(sizeof(hw_root) == 120, hw_root);
HW_ASSERT(offsetof(hw_root, family) == 16, hw_root_family);
HW_ASSERT(offsetof(hw_root, version) == 32, hw_root_version);
HW_ASSERT(offsetof(hw_root, interface) == 48, hw_root_interface);
HW_ASSERT(offsetof(hw_root, set_up) == 56, hw_root_set_up);
HW_ASSERT(offsetof(hw_root, inputs) == 64, hw_root_inputs);
HW_ASSERT(offsetof(hw_root, services) == 72, hw_root_services);
HW_ASSERT(offsetof(hw_root, parsers) == 80, hw_root_parsers);
HW_ASSERT(offsetof(hw_root, serializers) == 88, hw_root_serializers);
HW_ASSERT(offsetof(hw_root, processors) == 96, hw_root_processors);
HW_ASSERT(offsetof(hw_root, aggregators) == 104, hw_root_aggregators);
HW_ASSERT(offsetof(hw_root, outputs) == 112, hw_root_outputs);

#ifdef __cplusplus
}
#endif

#endif
