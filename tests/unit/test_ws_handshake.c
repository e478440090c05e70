/* SPDX-License-Identifier: MIT */
/* The opening handshake, clause by clause of RFC 6455 section 4.2.1, and what is agreed
 * on in it. */
#include "unit/unit.h"

#include <stdio.h>

#include "http/ws_handshake.h"

enum { MOST = 12 };

static cw_field_t fields[MOST];
static cw_head_t head;

static void add(const char *name, const char *value) {
  assert_true(head.n_fields < MOST);
  fields[head.n_fields++] = (cw_field_t){SPAN(name), SPAN(value)};
}

/* A valid handshake: the one of RFC 6455 section 1.3. */
static void begin(void) {
  head = (cw_head_t){
      .method = SPAN("GET"), .minor = 1, .content_length = -1, .fields = fields};
  add("Host", "server.example.com");
  add("Upgrade", "websocket");
  add("Connection", "Upgrade");
  add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
  add("Sec-WebSocket-Version", "13");
}

/* Gives the field another value; NULL: none of this name. */
static void change(const char *name, const char *value) {
  for (unsigned i = 0; i < head.n_fields; i++) {
    if (fields[i].name.len != strlen(name) ||
        memcmp(fields[i].name.p, name, strlen(name)) != 0)
      continue;
    if (value)
      fields[i].value = SPAN(value);
    else
      fields[i].name = SPAN("X");
    return;
  }
  fail_msg("no %s", name);
}

static void check(int want) {
  assert_int_equal(cw_ws_check_handshake(&head), want);
}

static void a_valid_one(void **state) {
  char value[CW_WS_ACCEPT_LEN];
  begin();
  check(101);
  cw_ws_accept_value(&head, value);
  assert_memory_equal(value, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", CW_WS_ACCEPT_LEN);
  change("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
  cw_ws_accept_value(&head, value);
  assert_memory_equal(value, "ICX+Yqv66kxgM0FcWaLWlFLwTAI=", CW_WS_ACCEPT_LEN);
  change("Upgrade", "h2c, WebSocket");
  change("Connection", "keep-alive, upgrade");
  head.content_length = 0;
  check(101);
}

static void others_ask_for_no_websocket(void **state) {
  begin();
  change("Upgrade", "h2c");
  check(0);
  begin();
  change("Upgrade", NULL);
  check(0);
  begin();
  change("Connection", "keep-alive");
  check(0);
  begin();
  head.minor = 0;
  check(0);
}

static void invalid_ones(void **state) {
  static const char *const keys[] = {"",
                                     "dGhlIHNhbXBsZSBub25jZQ=",
                                     "dGhlIHNhbXBsZSBub25jZQ===",
                                     "dGhlIHNhbXBsZSBub25jZQAA",
                                     "dGhlIHNhbXBsZSBub25jZ*==",
                                     "dGhlIHNhbXBsZSBub25j=Q==",
                                     "dGhlIHNhbXBsZSBub25jZSBub25jZQ=="};
  for (size_t i = 0; i < CW_ARRAY_LEN(keys); i++) {
    begin();
    change("Sec-WebSocket-Key", keys[i]);
    check(400);
  }
  begin();
  change("Sec-WebSocket-Key", NULL);
  check(400);
  begin();
  add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
  check(400);
  begin();
  head.method = SPAN("POST");
  check(400);
  begin();
  head.method = SPAN("get");
  check(400);
  begin();
  head.content_length = 5;
  check(400);
  begin();
  head.chunked = true;
  check(400);
  begin();
  change("Sec-WebSocket-Version", NULL);
  check(400);
  begin();
  add("Sec-WebSocket-Version", "13");
  check(400);
  begin();
  change("Sec-WebSocket-Version", "8");
  check(426);
}

static void subprotocols_in_their_order(void **state) {
  static const char *const want[] = {"chat", "v2.chat", "super"};
  unsigned field = 0, n = 0;
  size_t at = 0;
  cw_span_t one;
  begin();
  assert_false(cw_ws_next_subprotocol(&head, &field, &at, &one));
  begin();
  add("Sec-WebSocket-Protocol", " chat,, v2.chat ,not one,");
  add("X", "other");
  add("sec-websocket-protocol", "super");
  for (field = 0, at = 0; cw_ws_next_subprotocol(&head, &field, &at, &one); n++) {
    assert_true(n < CW_ARRAY_LEN(want));
    assert_int_equal(one.len, strlen(want[n]));
    assert_memory_equal(one.p, want[n], one.len);
  }
  assert_int_equal(n, CW_ARRAY_LEN(want));
}

/* ---- extensions -------------------------------------------------------- */

#define PMD "permessage-deflate"
#define FRESH "; server_no_context_takeover; client_no_context_takeover"

static void offer(const char *value, cw_ws_compression_t how, const char *want) {
  char answer[CW_WS_ANSWER_MAX];
  cw_ws_terms_t terms;
  begin();
  add("Sec-WebSocket-Extensions", value);
  check(101);
  assert_true(cw_ws_negotiate(&head, how, &terms));
  cw_ws_answer(&terms, answer);
  assert_string_equal(answer, want);
  assert_int_equal(terms.agreed, want[0] != '\0');
}

static void messages_for_themselves(void **state) {
  const cw_ws_compression_t on = CW_WS_COMPRESS_ON;
  offer(PMD, on, PMD FRESH);
  offer(PMD "; client_max_window_bits", on, PMD FRESH);
  offer("x-other; a=b; c, " PMD, on, PMD FRESH);
  offer(PMD "; server_max_window_bits=9", on, PMD FRESH "; server_max_window_bits=9");
  offer(PMD "; server_max_window_bits=\"10\"", on,
        PMD FRESH "; server_max_window_bits=10");
  offer(PMD "; server_max_window_bits=15", on, PMD FRESH);
  /* The first that can be met. */
  offer(PMD "; server_max_window_bits=8, " PMD "; server_max_window_bits=12", on,
        PMD FRESH "; server_max_window_bits=12");
  offer(PMD, CW_WS_COMPRESS_OFF, "");
}

static void messages_with_what_came_before(void **state) {
  const cw_ws_compression_t keep = CW_WS_COMPRESS_CONTEXT;
  offer(PMD, keep, PMD "; server_max_window_bits=12");
  offer(PMD "; client_max_window_bits", keep,
        PMD "; server_max_window_bits=12; client_max_window_bits=12");
  offer(PMD "; client_max_window_bits=8; server_max_window_bits=11", keep,
        PMD "; server_max_window_bits=11; client_max_window_bits=8");
  offer(PMD "; client_no_context_takeover", keep,
        PMD "; client_no_context_takeover; server_max_window_bits=12");
  offer(PMD "; server_no_context_takeover", keep,
        PMD "; server_no_context_takeover; server_max_window_bits=12");
}

static void offers_that_cannot_be_met(void **state) {
  static const char *const values[] = {PMD "; unknown",
                                       PMD "; server_max_window_bits",
                                       PMD "; server_max_window_bits=8",
                                       PMD "; server_max_window_bits=16",
                                       PMD "; server_max_window_bits=09",
                                       PMD "; server_max_window_bits=1000000000",
                                       PMD "; client_max_window_bits=7",
                                       PMD "; client_max_window_bits=x",
                                       PMD "; server_no_context_takeover=1",
                                       PMD "; client_no_context_takeover=true",
                                       PMD
                                       "; client_max_window_bits; "
                                       "client_max_window_bits",
                                       "permessage-bzip2",
                                       ",",
                                       ""};
  for (size_t i = 0; i < CW_ARRAY_LEN(values); i++)
    offer(values[i], CW_WS_COMPRESS_ON, "");
}

static void malformed_extensions(void **state) {
  static const char *const values[] = {
      ";",         "=",      PMD ";",           PMD "; a=",      PMD "; a=\"",
      PMD "; =a",  "a b",    PMD "; a=\"\"",    PMD " a",        PMD "; a=\"b",
      PMD "; a b", "a; b=(", PMD "; a=\"b c\"", PMD "; a=\"b\"c"};
  for (size_t i = 0; i < CW_ARRAY_LEN(values); i++) {
    begin();
    add("Sec-WebSocket-Extensions", values[i]);
    if (cw_ws_check_handshake(&head) != 400) fail_msg("%s", values[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_valid_one),
      cmocka_unit_test(others_ask_for_no_websocket),
      cmocka_unit_test(invalid_ones),
      cmocka_unit_test(subprotocols_in_their_order),
      cmocka_unit_test(messages_for_themselves),
      cmocka_unit_test(messages_with_what_came_before),
      cmocka_unit_test(offers_that_cannot_be_met),
      cmocka_unit_test(malformed_extensions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
