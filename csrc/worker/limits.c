/* SPDX-License-Identifier: MIT */
/* From settings to limits. */
#include "worker/limits.h"

#include <sys/resource.h>

#include "base/choices.h"
#include "base/resources.h"

/* As many connections as there are descriptors for, less some for the app, and as fit
 * into half of the memory granted, whatever each of them holds. */
static unsigned default_connections(const cw_limits_t *l, int workers) {
  struct rlimit limit;
  enum { FOR_THE_APP = 32, MOST = 1000000, LEAST = 64 };
  unsigned n = MOST;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MOST) {
    n = (unsigned)limit.rlim_cur;
    n = CW_MAX(n - CW_MIN(n / 4, (unsigned)FOR_THE_APP), 1u);
  }
  int64_t memory = cw_resources_memory();
  if (memory <= 0) return n;
  int64_t fit = memory / 2 / workers / (int64_t)cw_conn_most(l);
  return (unsigned)CW_MIN(CW_MAX(fit, (int64_t)LEAST), (int64_t)n);
}

static size_t default_buffer_memory(int workers) {
  enum { WITHOUT_A_LIMIT = 256 << 20, LEAST = 4 << 20 };
  int64_t memory = cw_resources_memory();
  if (memory <= 0) return WITHOUT_A_LIMIT;
  return (size_t)CW_MAX(memory / 8 / workers, (int64_t)LEAST);
}

/* The supervisor has checked the values: only memory can be short. */
static int read_networks(const cw_settings_t *s, cw_opt_t id, cw_networks_t *out) {
  cw_span_t bad;
  *out = (cw_networks_t){NULL, 0, false};
  return cw_networks_add(out, cw_opt_str(s, id), &bad);
}

/* 0 sets no limit of its own, as with gunicorn: that of the whole section is left. */
static size_t or_head(const cw_settings_t *s, cw_opt_t id) {
  int64_t n = cw_opt_num(s, id);
  return (size_t)(n ? n : cw_opt_num(s, CW_OPT_LIMIT_REQUEST_HEAD));
}

int cw_limits_read(const cw_settings_t *s, int workers, cw_limits_t *l) {
  enum { MOST_FIELDS = 32768 };
  int64_t fields = cw_opt_num(s, CW_OPT_LIMIT_REQUEST_FIELDS);
  int64_t connections = cw_opt_num(s, CW_OPT_WORKER_CONNECTIONS);
  const char *metrics = cw_opt_str(s, CW_OPT_METRICS);
  cw_span_t bad;
  int says = cw_proxy_headers_parse(cw_opt_str(s, CW_OPT_TRUSTED_PROXY_HEADERS), &bad);
  *l = (cw_limits_t){
      .head = (size_t)cw_opt_num(s, CW_OPT_LIMIT_REQUEST_HEAD),
      .request_line = or_head(s, CW_OPT_LIMIT_REQUEST_LINE),
      .field_size = or_head(s, CW_OPT_LIMIT_REQUEST_FIELD_SIZE),
      .fields = (unsigned)(fields ? fields : MOST_FIELDS),
      .body = cw_opt_num(s, CW_OPT_LIMIT_REQUEST_BODY),
      .buffer_body = cw_opt_num(s, CW_OPT_BUFFER_BODY),
      .idle = cw_opt_num(s, CW_OPT_KEEPALIVE),
      .header = cw_opt_num(s, CW_OPT_HEADER_TIMEOUT),
      .send = cw_opt_num(s, CW_OPT_SEND_TIMEOUT),
      .body_pause = cw_opt_num(s, CW_OPT_BODY_TIMEOUT),
      .rate = cw_opt_num(s, CW_OPT_BODY_RATE),
      .connections = (unsigned)connections,
      .buffer_memory = (size_t)cw_opt_num(s, CW_OPT_BUFFER_MEMORY),
      .proxy_headers = (unsigned)CW_MAX(says, 0),
      .clear_proxy_headers = cw_opt_num(s, CW_OPT_CLEAR_UNTRUSTED_PROXY_HEADERS),
      .proxy_mode =
          (cw_proxy_mode_t)cw_proxy_mode_parse(cw_opt_str(s, CW_OPT_PROXY_PROTOCOL)),
      .underscores =
          (cw_underscores_t)cw_underscores_parse(cw_opt_str(s, CW_OPT_HEADER_MAP)),
      .request_timeout = cw_opt_num(s, CW_OPT_REQUEST_TIMEOUT),
      .ws_size = (size_t)cw_opt_num(s, CW_OPT_WS_MAX_SIZE),
      .ws_queue = (unsigned)cw_opt_num(s, CW_OPT_WS_MAX_QUEUE),
      .ws_ping_interval = cw_opt_num(s, CW_OPT_WS_PING_INTERVAL),
      .ws_ping_timeout = cw_opt_num(s, CW_OPT_WS_PING_TIMEOUT),
      .ws_compression = (cw_ws_compression_t)cw_ws_compression_parse(
          cw_opt_str(s, CW_OPT_WS_PER_MESSAGE_DEFLATE)),
      .health = cw_opt_str(s, CW_OPT_HEALTH),
      .metrics = metrics && metrics[0] == '/' ? metrics : NULL,
      .access_log = cw_opt_str(s, CW_OPT_ACCESSLOG),
      .access_format = cw_opt_str(s, CW_OPT_ACCESS_LOG_FORMAT),
      .access_syslog = cw_opt_num(s, CW_OPT_SYSLOG) &&
                       !cw_opt_num(s, CW_OPT_DISABLE_REDIRECT_ACCESS_TO_SYSLOG),
      .statsd = cw_opt_str(s, CW_OPT_STATSD_HOST),
      .statsd_prefix = cw_opt_str(s, CW_OPT_STATSD_PREFIX),
      .statsd_tags = cw_opt_str(s, CW_OPT_DOGSTATSD_TAGS),
      .secure_schemes = cw_opt_str(s, CW_OPT_SECURE_SCHEME_HEADERS),
      .forwarder_headers = cw_opt_str(s, CW_OPT_FORWARDER_HEADERS),
  };
  if (!l->connections) l->connections = default_connections(l, workers);
  if (!l->buffer_memory) l->buffer_memory = default_buffer_memory(workers);
  return read_networks(s, CW_OPT_FORWARDED_ALLOW_IPS, &l->trusted) != 0 ||
                 read_networks(s, CW_OPT_PROXY_ALLOW_IPS, &l->proxies) != 0
             ? -1
             : 0;
}

void cw_limits_fini(cw_limits_t *l) {
  cw_networks_free(&l->trusted);
  cw_networks_free(&l->proxies);
}
