/* SPDX-License-Identifier: MIT */
/* Addresses as they are written. */
#include "supervisor/binds.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/host_port.h"
#include "base/log.h"

static const char FORMS[] =
    "HOST, HOST:PORT, :PORT, [V6]:PORT, PORT, unix:PATH or fd://N";

static bool begins(const char *text, const char *with) {
  return strncmp(text, with, strlen(with)) == 0;
}

static const char *without_scheme(const char *text) {
  return text + (begins(text, "http://") ? 7 : begins(text, "tcp://") ? 6 : 0);
}

static bool is_port(const char *text) {
  return cw_is_port((cw_span_t){text, strlen(text)});
}

int cw_bind_split(const char *text, char *host, size_t host_len, char *port,
                  size_t port_len) {
  cw_span_t name = {"", 0}, number;
  text = without_scheme(text);
  if (is_port(text))
    number = (cw_span_t){text, strlen(text)};
  else if (cw_host_port_split(text, &name, &number) != 0)
    return -1;
  if (!cw_is_port(number) || number.len >= port_len || name.len >= host_len) return -1;
  snprintf(port, port_len, "%s", number.p);
  snprintf(host, host_len, "%.*s", (int)name.len, name.p);
  if (name.len == 0) snprintf(host, host_len, "0.0.0.0");
  return 0;
}

/* $PORT, or `otherwise` where it is not set. NULL after saying what is wrong with it.
 */
static const char *default_port(const char *otherwise) {
  const char *port = getenv("PORT");
  if (!port || !*port) return otherwise;
  if (is_port(port)) return port;
  cw_complain("the environment variable PORT is no port number: '%s'%s", port,
              begins(port, "tcp://")
                  ? "; Kubernetes sets such variables for its services. Set PORT for "
                    "this container, or name the address with --bind"
                  : "");
  return NULL;
}

/* Appends one address of a list to `out`, with its port. */
static int add_one(cw_buf_t *out, const char *word) {
  char host[CW_NAME_TEXT], port[CW_PORT_TEXT];
  const char *text = without_scheme(word), *chosen = "";
  cw_span_t name, number;
  bool plain = begins(word, "unix:") || begins(word, "fd://") ||
               cw_bind_split(word, host, sizeof(host), port, sizeof(port)) == 0;
  bool split = cw_host_port_split(text, &name, &number) == 0;
  if (!plain && (!split || number.p || !*text)) {
    const char *colon = strchr(text, ':');
    if (!split && colon && strchr(colon + 1, ':') && !strchr(text, '['))
      cw_complain("--bind: an IPv6 address stands in brackets: [%s]", text);
    else if (split && (!*text || !*number.p))
      cw_complain("--bind: '%s' lacks %s; is a variable in it not set?", word,
                  *text ? "a port" : "an address");
    else
      cw_complain("--bind: '%s' is not %s", word, FORMS);
    return -1;
  }
  if (!plain && !(chosen = default_port("8000"))) return -1;
  const char *parts[] = {out->len ? "," : "",
                         plain && !begins(word, "tcp://") ? word : text,
                         plain ? "" : ":", chosen};
  for (size_t i = 0; i < CW_ARRAY_LEN(parts); i++)
    if (cw_buf_append(out, parts[i], strlen(parts[i])) != 0) {
      cw_complain("out of memory");
      return -1;
    }
  return 0;
}

/* The same for a comma-separated list, in its place. */
static int complete(char **item) {
  cw_buf_t out = {0};
  char *copy = strdup(*item), *rest = copy, *word;
  int rc = copy ? 0 : -1;
  while (rc == 0 && (word = strsep(&rest, ",")) != NULL)
    rc = add_one(&out, word + strspn(word, " "));
  if (rc == 0 && cw_buf_append(&out, "", 1) == 0) {
    free(*item);
    *item = out.p;
    free(copy);
    return 0;
  }
  cw_buf_free(&out);
  if (!copy) cw_complain("out of memory");
  free(copy);
  return -1;
}

int cw_binds_work_out(cw_settings_t *s) {
  cw_value_t *v = &s->v[CW_OPT_BIND];
  for (unsigned i = 0; i < v->n_items; i++)
    if (complete(&v->items[i]) != 0) return -1;
  if (v->n_items) return 0;
  char text[32];
  const char *port = default_port("8080"), *given = getenv("PORT");
  if (!port) return -1;
  snprintf(text, sizeof(text), "0.0.0.0:%s", port);
  int rc = cw_settings_set_text(s, CW_OPT_BIND, text,
                                given && *given ? CW_FROM_ENV : CW_FROM_DEFAULT);
  if (rc != 0) cw_complain("out of memory");
  return rc;
}
