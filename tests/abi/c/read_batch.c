/*
 * Reads a batch in C, with nothing but the header.
 *
 * As a program: `read_batch FILE` prints the points of a serial form, one a line.
 * As a library: `print_batch` hands the same lines of a batch in memory to a taker.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "headwater.h"

/* The elements of a section, or none. */
static const void *find(const hw_tables *tables, uint32_t id, uint64_t *len) {
    *len = 0;
    for (uint32_t i = 0; i < tables->section_count; i++) {
        if (tables->sections[i].id == id) {
            *len = tables->sections[i].len;
            return tables->sections[i].data;
        }
    }
    return NULL;
}

static void put(hw_taker out, const char *text, size_t len) {
    hw_bytes bytes = {(const uint8_t *)text, len};
    out.take(out.argument, bytes);
}

static void put_text(hw_taker out, const char *text) { put(out, text, strlen(text)); }

static void put_value(hw_taker out, uint8_t kind, uint64_t payload, const char *arena) {
    char text[400];
    double number;
    switch (kind) {
    case HW_KIND_F64:
        memcpy(&number, &payload, sizeof number);
        snprintf(text, sizeof text, "%.17g", number);
        break;
    case HW_KIND_I64:
        snprintf(text, sizeof text, "%" PRId64 "i", (int64_t)payload);
        break;
    case HW_KIND_U64:
        snprintf(text, sizeof text, "%" PRIu64 "u", payload);
        break;
    case HW_KIND_BOOL:
        snprintf(text, sizeof text, "%s", payload ? "true" : "false");
        break;
    case HW_KIND_TEXT:
        put_text(out, "\"");
        put(out, arena + HW_TEXT_OFFSET(payload), HW_TEXT_LEN(payload));
        put_text(out, "\"");
        return;
    default:
        snprintf(text, sizeof text, "?%u:%" PRIu64, kind, payload);
    }
    put_text(out, text);
}

/* Writes the live points; 1 if the batch is of another layout. */
int print_batch(const hw_batch *batch, hw_taker out) {
    const hw_tables *own = batch->tables;
    const hw_tables *by_series = batch->series ? batch->series : own;
    const hw_tables *by_shape = batch->shapes ? batch->shapes : own;
    if (own->version >> 16 != HW_LAYOUT_VERSION >> 16) {
        return 1;
    }
    uint64_t rows_len, words_len = 0, unused;
    const hw_row *rows = find(own, HW_SECTION_ROWS, &rows_len);
    const uint64_t *values = find(own, HW_SECTION_VALUES, &unused);
    const char *arena = find(own, HW_SECTION_ARENA, &unused);
    const hw_series *series = find(by_series, HW_SECTION_SERIES, &unused);
    const char *series_arena = find(by_series, HW_SECTION_ARENA, &unused);
    const hw_shape *shapes = find(by_shape, HW_SECTION_SHAPES, &unused);
    const hw_field *fields = find(by_shape, HW_SECTION_FIELDS, &unused);
    const hw_symbol *symbols = find(by_shape, HW_SECTION_SYMBOLS, &unused);
    const char *shape_arena = find(by_shape, HW_SECTION_ARENA, &unused);
    const uint64_t *words =
        batch->selection ? find(batch->selection, HW_SECTION_SELECTION, &words_len) : NULL;
    char time[32];

    for (uint64_t i = 0; i < rows_len; i++) {
        if (words && !(words[i / 64] >> (i % 64) & 1)) {
            continue;
        }
        const hw_row *row = &rows[i];
        const hw_series *named = &series[row->series];
        const hw_shape *shape = &shapes[row->shape];
        put(out, series_arena + named->text, named->key_len);
        for (uint32_t j = 0; j < shape->field_count; j++) {
            const hw_field *field = &fields[shape->fields + j];
            const hw_symbol *key = &symbols[field->key];
            put_text(out, j ? "," : " ");
            put(out, shape_arena + key->offset, key->len);
            put_text(out, "=");
            put_value(out, field->kind, values[row->values + field->slot], arena);
        }
        snprintf(time, sizeof time, " %" PRId64 "\n", row->time);
        put_text(out, time);
    }
    return 0;
}

static void to_file(void *file, hw_bytes bytes) { fwrite(bytes.data, 1, bytes.len, file); }

static int fail(const char *what) {
    fprintf(stderr, "read_batch: %s\n", what);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return fail("usage: read_batch FILE");
    }
    FILE *file = fopen(argv[1], "rb");
    static _Alignas(8) uint8_t serial[1 << 20];
    size_t len = file ? fread(serial, 1, sizeof serial, file) : 0;
    const hw_serial_head *head = (const void *)serial;
    const hw_serial_section *entries = (const void *)(head + 1);
    hw_section sections[64] = {{0}};
    if (len < sizeof *head || memcmp(head->magic, "HWBATCH1", 8) != 0 || head->size != len) {
        return fail("this is not a batch");
    }
    if (head->version >> 16 != HW_LAYOUT_VERSION >> 16 || head->section_count > 64) {
        return fail("a batch of another layout");
    }
    for (uint32_t i = 0; i < head->section_count; i++) {
        sections[i].id = entries[i].id;
        sections[i].data = serial + entries[i].offset;
        sections[i].len = entries[i].len;
    }
    hw_tables tables = {sizeof tables, head->version, head->section_count, 0, sections, NULL, NULL};
    hw_batch batch = {.size = sizeof batch, .tables = &tables};
    hw_taker out = {stdout, to_file};
    return print_batch(&batch, out);
}
