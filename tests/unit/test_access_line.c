/* SPDX-License-Identifier: MIT */
/* Access log lines: every atom, escapes, widths, JSON. */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/access_line.h"

static cw_field_t fields[] = {
    {{"Host", 4}, {"example.org", 11}},
    {{"User-Agent", 10}, {"curl \"7\"", 8}},
    {{"REFERER", 7}, {"http://a/\\", 10}},
    {{"Authorization", 13}, {"Basic YWxpY2U6c2VjcmV0", 22}}, /* alice:secret */
    {{"traceparent", 11},
     {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 55}},
    {{"X-Request-ID", 12}, {"r-1", 3}},
};

static const cw_head_t head = {.method = {"GET", 3},
                               .target = {"/a%20b?c=d", 10},
                               .path = {"/a b", 4},
                               .query = {"c=d", 3},
                               .fields = fields,
                               .n_fields = CW_ARRAY_LEN(fields),
                               .minor = 1,
                               .scheme = "https"};

static cw_access_t sample(void) {
  cw_access_t a = {.head = &head,
                   .peer_addr = "192.0.2.7",
                   .status = 200,
                   .body_sent = 14,
                   .received = 321,
                   .sent = 150,
                   .us = 1234567,
                   .now = {.tv_sec = 1000000000, .tv_nsec = 123456789},
                   .pid = 42};
  return a;
}

/* The line without its newline; valid until the next call. */
static const char *line_of(const char *format, const cw_access_t *a) {
  static char line[CW_ACCESS_LINE + 1];
  char err[200];
  cw_access_format_t f;
  if (cw_access_format_compile(&f, format, err, sizeof(err)) != 0)
    fail_msg("%s: %s", format, err);
  size_t n = cw_access_line(&f, a, line);
  cw_access_format_free(&f);
  assert_int_equal(line[n - 1], '\n');
  line[n - 1] = '\0';
  assert_null(strchr(line, '\n'));
  return line;
}

static void is(const char *format, const char *wanted) {
  cw_access_t a = sample();
  assert_string_equal(line_of(format, &a), wanted);
}

static void every_atom(void **state) {
  is("%(h)s %(l)s %(u)s", "192.0.2.7 - alice");
  is("%(t)s", "[09/Sep/2001:01:46:40 +0000]");
  is("%(r)s", "GET /a%20b?c=d HTTP/1.1");
  is("%(m)s %(U)s %(q)s %(H)s", "GET /a b c=d HTTP/1.1");
  is("%(s)s %(b)s %(B)s", "200 14 14");
  is("%(T)s %(M)s %(D)s %(L)s %(p)s", "1 1234 1234567 1.234567 <42>");
  is("%(f)s", "http://a/\\\\");
  is("%(a)s", "curl \\\"7\\\"");
  is("%({host}i)s %({Nope}i)s", "example.org -");
  is("%({x}o)s %({REMOTE_USER}e)s", "- -");
  is("100%% %(s)s", "100% 200");
}

static void widths(void **state) {
  is("[%(s)5s][%(s)-5s][%(D)010d]", "[  200][200  ][0001234567]");
  is("[%(h).3s][%(h)5.3s]", "[192][  192]");
}

static void values_by_index(void **state) {
  static const cw_span_t o[] = {{"one", 3}, {NULL, 0}}, e[] = {{"\"\n", 2}};
  cw_access_t a = sample();
  a.fields = o;
  a.environ = e;
  assert_string_equal(line_of("%({A}o)s %({V}e)s %({B}o)s", &a), "one \\\"\\x0A -");
}

/* In a form that can be taken apart again, whatever is in them. */
static void all_fields(void **state) {
  static const cw_span_t lines[] = {
      {"A: 1\r\nB:\r\nC: x\"y:z\r\nno field\r\n\r\n", 32}};
  cw_access_t a = sample();
  assert_string_equal(line_of("%({*}o)s", &a), "");
  a.fields = lines;
  assert_string_equal(line_of("%({*}o)s|", &a), "A:1\"B:\"C:x\\\"y:z\"|");
  cw_field_t two[] = {{{"Host", 4}, {"h", 1}}, {{"X-A", 3}, {"\"\\\n", 3}}};
  cw_head_t some = *a.head;
  some.fields = two;
  some.n_fields = 2;
  a.head = &some;
  assert_string_equal(line_of("%({*}i)s|", &a), "Host:h\"X-A:\\\"\\\\\\x0A\"|");
  a.head = NULL;
  assert_string_equal(line_of("%({*}i)s|", &a), "|");
}

/* Nothing that came from outside ends the line or a quoted value. */
static void no_injection(void **state) {
  static const char evil[] = "a\" b\\ \r\n[01/Jan] \x1b[31m \xe2\x82\xac \x7f\0end";
  cw_field_t f = {{"User-Agent", 10}, {evil, sizeof(evil) - 1}};
  cw_head_t h = head;
  h.fields = &f;
  h.n_fields = 1;
  cw_access_t a = sample();
  a.head = &h;
  assert_string_equal(line_of("\"%(a)s\"", &a),
                      "\"a\\\" b\\\\ \\x0D\\x0A[01/Jan] \\x1B[31m \\xE2\\x82\\xAC "
                      "\\x7F\\x00end\"");
  /* In JSON what is UTF-8 stays, and what is not becomes harmless. */
  assert_non_null(strstr(line_of("json", &a),
                         "\"user_agent\":\"a\\\" b\\\\ \\u000D\\u000A[01/Jan] "
                         "\\u001B[31m \xe2\x82\xac \\u007F\\u0000end\"}"));
  f.value = (cw_span_t){"\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 11};
  assert_non_null(strstr(line_of("json", &a), "\"\\u0085\\u2028\\u2029\xe2\x80\xaa\""));
  f.value = (cw_span_t){"\xff\xc0\xaf\xed\xa0\x80\xe2\x82", 8};
  assert_non_null(
      strstr(line_of("json", &a),
             "\"\\u00FF\\u00C0\\u00AF\\u00ED\\u00A0\\u0080\\u00E2\\u0082\""));
}

static void requests_that_could_not_be_read(void **state) {
  cw_access_t a = {.peer_addr = "", .status = 400, .line = {"\x16\x03 x", 4}};
  assert_string_equal(line_of("%(h)s \"%(r)s\" %(m)s %(U)s %(H)s %(u)s %(s)s", &a),
                      "- \"\\x16\\x03 x\" - - - - 400");
  assert_non_null(strstr(line_of("gcp", &a), "\"severity\":\"WARNING\""));
  assert_non_null(strstr(line_of("json", &a), "\"request_line\":\"\\u0016\\u0003 x\""));
  a.line = (cw_span_t){NULL, 0};
  a.status = 0;
  assert_string_equal(line_of("\"%(r)s\" %(s)s", &a), "\"-\" -");
}

static void json_lines(void **state) {
  is("json",
     "{\"time\":\"2001-09-09T01:46:40.123456Z\",\"remote_addr\":\"192.0.2.7\","
     "\"status\":200,\"bytes\":14,\"duration\":1.234567,\"method\":\"GET\","
     "\"path\":\"/a%20b\",\"query\":\"c=d\",\"protocol\":\"HTTP/1.1\","
     "\"referer\":\"http://a/\\\\\",\"user_agent\":\"curl \\\"7\\\"\","
     "\"request_id\":\"r-1\"}");
}

static void google_cloud_lines(void **state) {
  cw_access_t a = sample();
  a.project = "p-1";
  a.status = 503;
  assert_string_equal(
      line_of("gcp", &a),
      "{\"severity\":\"ERROR\",\"time\":\"2001-09-09T01:46:40.123456Z\","
      "\"logging.googleapis.com/trace\":"
      "\"projects/p-1/traces/0af7651916cd43dd8448eb211c80319c\","
      "\"logging.googleapis.com/spanId\":\"b7ad6b7169203331\","
      "\"logging.googleapis.com/trace_sampled\":true,"
      "\"message\":\"GET /a%20b?c=d 503\",\"httpRequest\":{\"status\":503,"
      "\"requestSize\":\"321\",\"responseSize\":\"150\",\"latency\":\"1.234567s\","
      "\"remoteIp\":\"192.0.2.7\",\"requestMethod\":\"GET\","
      "\"requestUrl\":\"https://example.org/a%20b?c=d\",\"protocol\":\"HTTP/1.1\","
      "\"referer\":\"http://a/\\\\\",\"userAgent\":\"curl \\\"7\\\"\"}}");
}

static void trace_headers(void **state) {
  static const struct {
    const char *name, *value, *wanted;
  } all[] = {
      {"X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000/255;o=1",
       "\"logging.googleapis.com/trace\":\"105445aa7843bc8bf206b12000100000\","
       "\"logging.googleapis.com/spanId\":\"00000000000000ff\","
       "\"logging.googleapis.com/trace_sampled\":true"},
      {"x-cloud-trace-context", "105445aa7843bc8bf206b12000100000/1;o=0",
       "\"logging.googleapis.com/trace_sampled\":false"},
      {"X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000",
       "trace\":\"105445aa7843bc8bf206b12000100000\",\"message\""},
      {"X-Cloud-Trace-Context", "1054\"aa7843bc8bf206b12000100000/1", NULL},
      {"X-Cloud-Trace-Context", "", NULL},
      {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
       "\"logging.googleapis.com/trace_sampled\":false"},
      {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", NULL},
      {"traceparent", "00-0af7651916cd43dd8448eb211c8031\"c-b7ad6b7169203331-00", NULL},
  };
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    cw_field_t f = {SPAN(all[i].name), SPAN(all[i].value)};
    cw_head_t h = head;
    h.fields = &f;
    h.n_fields = 1;
    cw_access_t a = sample();
    a.head = &h;
    const char *line = line_of("gcp", &a);
    if (all[i].wanted)
      assert_non_null(strstr(line, all[i].wanted));
    else
      assert_null(strstr(line, "trace"));
  }
}

/* However long everything is, a line is one piece and JSON stays JSON. */
static void long_lines_are_cut(void **state) {
  static char big[20000];
  static const char *const formats[] = {"combined", "json", "gcp",
                                        "%(r)s%(r)s%(r)s%(r)s"};
  static const char bytes[] = {'a', '"', '\x01', '\xff'};
  for (size_t k = 0; k < sizeof(bytes); k++) {
    memset(big, bytes[k], sizeof(big));
    big[0] = '/';
    cw_span_t v = {big, sizeof(big)};
    cw_field_t f[] = {{{"Host", 4}, v},
                      {{"User-Agent", 10}, v},
                      {{"Referer", 7}, v},
                      {{"X-Request-ID", 12}, v},
                      {{"Authorization", 13}, v}};
    cw_head_t h = head;
    h.method = h.target = h.path = h.query = v;
    h.fields = f;
    h.n_fields = CW_ARRAY_LEN(f);
    cw_access_t a = sample();
    a.head = &h;
    for (size_t i = 0; i < CW_ARRAY_LEN(formats); i++) {
      const char *line = line_of(formats[i], &a);
      size_t n = strlen(line);
      assert_true(n < CW_ACCESS_LINE);
      if (line[0] == '{') assert_int_equal(line[n - 1], '}');
    }
  }
}

static void users(void **state) {
  static const struct {
    const char *value, *wanted;
  } all[] = {{"Basic YWxpY2U6c2VjcmV0", "alice"},
             {"basic YWxpY2U6", "alice"},
             {"Basic Og==", "-"},
             {"Basic YWxpY2U", "-"},
             {"Bearer YWxpY2U6c2VjcmV0", "-"},
             {"Basic \x01\x02", "-"},
             {"Basic", "-"},
             {"Basic YQo6", "a\\x0A"}};
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    cw_field_t f = {{"authorization", 13}, SPAN(all[i].value)};
    cw_head_t h = head;
    h.fields = &f;
    h.n_fields = 1;
    cw_access_t a = sample();
    a.head = &h;
    assert_string_equal(line_of("%(u)s", &a), all[i].wanted);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_atom),
      cmocka_unit_test(widths),
      cmocka_unit_test(values_by_index),
      cmocka_unit_test(all_fields),
      cmocka_unit_test(no_injection),
      cmocka_unit_test(requests_that_could_not_be_read),
      cmocka_unit_test(json_lines),
      cmocka_unit_test(google_cloud_lines),
      cmocka_unit_test(trace_headers),
      cmocka_unit_test(long_lines_are_cut),
      cmocka_unit_test(users),
  };
  setenv("TZ", "UTC", 1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
