/* SPDX-License-Identifier: MIT */
/* Messages and control frames out of a client's bytes, in pieces of any size. */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "http/ws_message.h"

enum { ROOM = 512 * 1024, MOST = 1000 };

static const cw_ws_terms_t kept = {true, false, false, 15, 15};

static char wire[ROOM], words[2048];
static size_t n_wire;
static size_t used; /* when the last item of read_by() came */
static cw_ws_stock_t stock;

/* Appends a client's frame; `first` is its first byte. */
static void put(unsigned first, const char *data, size_t n) {
  static const uint8_t key[4] = {0xa1, 0x02, 0xf3, 0x84};
  char *out = wire + n_wire;
  size_t len = cw_ws_frame_head(out, CW_WS_OP_CONTINUATION, false, n);
  assert_true(n_wire + n + 14 <= ROOM);
  out[0] = (char)first;
  out[1] = (char)(out[1] | 0x80);
  memcpy(out + len, key, 4);
  cw_ws_unmask(out + len + 4, data, n, key, 0);
  n_wire += len + 4 + n;
}

static void put_text(unsigned first, const char *text) {
  put(first, text, strlen(text));
}

static void say(const char *kind, const char *p, size_t n) {
  size_t at = strlen(words);
  snprintf(words + at, sizeof(words) - at, "%s(%.*s)", kind, (int)CW_MIN(n, 40u), p);
}

/* Writes down what comes of the wire. */
static void read_by(size_t step, bool compressed) {
  cw_ws_reader_t r;
  cw_ws_deflate_t deflate;
  cw_ws_item_t item;
  char code[32];
  cw_ws_stock_init(&stock);
  cw_ws_deflate_init(&deflate, &stock, &kept);
  cw_ws_reader_init(&r, MOST, compressed ? &deflate : NULL);
  words[0] = '\0';
  used = 0;
  for (bool over = false; !over && used < n_wire;) {
    used += cw_ws_reader_next(&r, wire + used, CW_MIN(step, n_wire - used), &item);
    switch (item.what) {
      case CW_WS_MESSAGE:
        say(item.message->text ? "T" : "B", item.message->bytes, item.message->len);
        free(item.message);
        break;
      case CW_WS_PING: say("P", item.control, item.control_len); break;
      case CW_WS_PONG: say("p", item.control, item.control_len); break;
      case CW_WS_CLOSE:
        snprintf(code, sizeof(code), "C%d", item.code);
        say(code, item.control, item.control_len);
        over = true;
        break;
      case CW_WS_BROKEN:
        snprintf(code, sizeof(code), "!%d", item.code);
        say(code, item.why, strlen(item.why));
        over = true;
        break;
      default: break;
    }
  }
  cw_ws_reader_fini(&r);
  cw_ws_deflate_fini(&deflate);
  cw_ws_stock_fini(&stock);
}

static void check(bool compressed, const char *want) {
  for (size_t step = 1; step <= CW_MIN(n_wire, 300u); step++) {
    read_by(step, compressed);
    if (strncmp(words, want, strlen(want)) != 0) fail_msg("by %zu: %s", step, words);
  }
}

/* The same, where nothing else may come. */
static void check_all(bool compressed, const char *want) {
  check(compressed, want);
  assert_string_equal(words, want);
}

static int clear(void **state) {
  n_wire = 0;
  return 0;
}

static void messages(void **state) {
  put_text(0x81, "hello");
  put(0x82, "\xff\x00", 2);
  put_text(0x81, "");
  put_text(0x89, "?");
  put_text(0x8a, "");
  put(0x88, "\x03\xe8so long", 9);
  check_all(false, "T(hello)B(\xff)T()P(?)p()C1000(so long)");
}

static void fragments(void **state) {
  put_text(0x01, "h\xc3");
  put_text(0x89, "in between");
  put_text(0x00, "\xa4l");
  put_text(0x00, "");
  put_text(0x80, "lo");
  put_text(0x02, "");
  put_text(0x80, "");
  check_all(false, "P(in between)T(h\xc3\xa4llo)B()");
}

static void closes(void **state) {
  put_text(0x88, "");
  check_all(false, "C1005()");
  static const struct {
    const char *payload;
    size_t n;
    const char *want;
  } cases[] = {
      {"\x03", 1, "!1002("},         {"\x03\xed", 2, "!1002("}, /* 1005 is never sent */
      {"\x03\xeb", 2, "C1003()"},    {"\x0b\xb8!", 3, "C3000(!)"},
      {"\x03\xe8\xff", 3, "!1007("}, {"\x03\xe8\xc3", 3, "!1007("}};
  for (size_t i = 0; i < CW_ARRAY_LEN(cases); i++) {
    n_wire = 0;
    put(0x88, cases[i].payload, cases[i].n);
    check(false, cases[i].want);
  }
}

/* A wrong byte is told of when it comes, not at the message's end. */
static void text_is_checked_as_it_comes(void **state) {
  put_text(0x01, "good \xf4");
  put(0x80, "\x90 and a lot more", 16);
  check(false, "!1007(");
  read_by(1, false);
  assert_int_equal(used, n_wire - 15);
  n_wire = 0;
  put_text(0x01, "half \xe2\x82");
  put_text(0x80, "");
  check(false, "!1007(");
  n_wire = 0;
  put(0x82, "\xff\xfe", 2); /* binary may be anything */
  check_all(false, "B(\xff\xfe)");
}

static void sizes(void **state) {
  static char x[MOST + 1];
  memset(x, 'x', sizeof(x));
  put(0x82, x, MOST);
  check(false, "B(xxx");
  n_wire = 0;
  put(0x82, x, MOST + 1);
  check(false, "!1009(");
  /* The head is enough. */
  read_by(1, false);
  assert_int_equal(used, 9);
  n_wire = 0;
  put(0x02, x, MOST - 1);
  put(0x80, x, 2);
  check(false, "!1009(");
  n_wire = 0;
  put(0x02, x, MOST - 1);
  put_text(0x89, "?");
  put(0x80, x, 1);
  check(false, "P(?)B(xxx");
}

static void compressed_messages(void **state) {
  put(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
  put(0x41, "\xf2\x00", 2);
  put_text(0x89, "?");
  put(0x80, "\x11\x00\x00", 3);
  put_text(0x81, "plain");
  put(0xc2, "\x00", 1);
  check_all(true, "T(Hello)P(?)T(Hello)T(plain)B()");
  check(false, "!1002(");
}

static void compressed_messages_are_checked_alike(void **state) {
  static char x[200 * 1024];
  cw_ws_deflate_t deflate;
  cw_buf_t payload = {0};
  cw_ws_stock_init(&stock);
  cw_ws_deflate_init(&deflate, &stock, &kept);
  assert_int_equal(cw_ws_deflate(&deflate, x, sizeof(x), &payload), 0);
  put(0xc2, payload.p, payload.len);
  check(true, "!1009(");
  cw_buf_free(&payload);
  cw_ws_deflate_fini(&deflate);
  cw_ws_deflate_init(&deflate, &stock, &kept);
  assert_int_equal(cw_ws_deflate(&deflate, "half \xe2\x82", 7, &payload), 0);
  n_wire = 0;
  put(0xc1, payload.p, payload.len);
  check(true, "!1007(");
  n_wire = 0;
  put(0xc2, payload.p, payload.len);
  check_all(true, "B(half \xe2\x82)");
  n_wire = 0;
  put(0xc2, "\xff\xff\xff", 3);
  check(true, "!1007(");
  cw_buf_free(&payload);
  cw_ws_deflate_fini(&deflate);
  cw_ws_stock_fini(&stock);
}

static void a_broken_frame_ends_it(void **state) {
  put_text(0x81, "one");
  put_text(0x83, "two");
  put_text(0x81, "three");
  check(false, "T(one)!1002(");
}

static void without_memory(void **state) {
  put_text(0x01, "one ");
  put_text(0x89, "ping");
  put_text(0x80, "message");
  for (long n = 1;; n++) {
    cw_fault_arm(n);
    read_by(3, false);
    bool failed = cw_fault_left() == 0;
    cw_fault_arm(0);
    if (!failed) break;
    if (!strstr(words, "!1011(no memory")) fail_msg("%ld: %s", n, words);
  }
  assert_string_equal(words, "P(ping)T(one message)");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(messages, clear),
      cmocka_unit_test_setup(fragments, clear),
      cmocka_unit_test_setup(closes, clear),
      cmocka_unit_test_setup(text_is_checked_as_it_comes, clear),
      cmocka_unit_test_setup(sizes, clear),
      cmocka_unit_test_setup(compressed_messages, clear),
      cmocka_unit_test_setup(compressed_messages_are_checked_alike, clear),
      cmocka_unit_test_setup(a_broken_frame_ends_it, clear),
      cmocka_unit_test_setup(without_memory, clear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
