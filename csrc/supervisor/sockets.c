/* SPDX-License-Identifier: MIT */
/* Parsing addresses and binding them. */
#include "supervisor/sockets.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

/* Splits "host:port", ":port", "[v6]:port" or "port". Returns 0 or -1. */
static int split(const char *text, char *host, size_t host_len, char *port,
                 size_t port_len) {
  const char *colon = strrchr(text, ':');
  const char *p = colon ? colon + 1 : text;
  size_t n = colon ? (size_t)(colon - text) : 0;
  if (strncmp(text, "http://", 7) == 0)
    return split(text + 7, host, host_len, port, port_len);
  if (!*p || strspn(p, "0123456789") != strlen(p) || strlen(p) >= port_len ||
      atol(p) > 65535)
    return -1;
  snprintf(port, port_len, "%s", p);
  if (n >= 2 && text[0] == '[' && text[n - 1] == ']')
    text++, n -= 2;
  else if (memchr(text, ':', n))
    return -1; /* a bare v6 address: where would its port begin? */
  if (n >= host_len) return -1;
  snprintf(host, host_len, "%.*s", (int)n, text);
  if (n == 0) snprintf(host, host_len, "0.0.0.0");
  return 0;
}

static int bind_inet(const char *text, cw_listener_t *l) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found,
                  *a;
  if (split(text, l->host, sizeof(l->host), l->port, sizeof(l->port)) != 0) {
    cw_complain("--bind: '%s' is not HOST:PORT, :PORT, [V6]:PORT or unix:PATH", text);
    return -1;
  }
  int rc = getaddrinfo(l->host, l->port, &hints, &found);
  if (rc != 0) {
    cw_complain("--bind: cannot resolve '%s': %s", l->host, gai_strerror(rc));
    return -1;
  }
  /* A name with both: v4, as gunicorn. */
  for (a = found; a && a->ai_family != AF_INET; a = a->ai_next) {
  }
  if (!a) a = found;
  int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      /* Accepted sockets inherit it. */
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
      bind(fd, a->ai_addr, a->ai_addrlen) != 0) {
    if (errno == EADDRINUSE)
      cw_complain(
          "%s is in use: stop what listens there, or choose another with --bind", text);
    else
      cw_complain("cannot bind %s: %s", text, strerror(errno));
    freeaddrinfo(found);
    if (fd >= 0) close(fd);
    return -1;
  }
  freeaddrinfo(found);
  struct sockaddr_storage bound;
  socklen_t len = sizeof(bound);
  if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0) {
    const void *port = bound.ss_family == AF_INET6
                           ? (const void *)&((struct sockaddr_in6 *)&bound)->sin6_port
                           : (const void *)&((struct sockaddr_in *)&bound)->sin_port;
    in_port_t net;
    memcpy(&net, port, sizeof(net));
    snprintf(l->port, sizeof(l->port), "%u", (unsigned)ntohs(net));
  }
  return fd;
}

static int bind_unix(const char *path, cw_listener_t *l) {
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  struct stat st;
  if (!*path || strlen(path) >= sizeof(addr.sun_path)) {
    cw_complain("--bind: the path of a Unix socket has 1 to %zu bytes: '%s'",
                sizeof(addr.sun_path) - 1, path);
    return -1;
  }
  snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
  snprintf(l->host, sizeof(l->host), "%s", path);
  l->is_unix = 1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) goto fail;
  if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
    /* Left behind by a server that was killed; a live one answers. */
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool live =
        probe >= 0 && connect(probe, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    if (probe >= 0) close(probe);
    if (live) {
      cw_complain(
          "unix:%s is in use: stop what listens there, or choose another with --bind",
          path);
      close(fd);
      return -1;
    }
    unlink(path);
  }
  mode_t old = umask(0); /* any user may connect, as with gunicorn */
  int rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
  umask(old);
  if (rc == 0) return fd;
fail:
  cw_complain("cannot bind unix:%s: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
  return -1;
}

static int bind_one(const char *text, cw_listener_t *l) {
  memset(l, 0, sizeof(*l));
  if (strncmp(text, "unix://", 7) == 0)
    l->fd = bind_unix(text + 7, l);
  else if (strncmp(text, "unix:", 5) == 0)
    l->fd = bind_unix(text + 5, l);
  else
    l->fd = bind_inet(text, l);
  return l->fd < 0 ? -1 : 0;
}

int cw_sockets_bind(const cw_settings_t *s, cw_listener_t *out) {
  const cw_value_t *v = &s->v[CW_OPT_BIND];
  const char *port = getenv("PORT");
  char fallback[64];
  int n = 0;
  if (v->n_items == 0) {
    snprintf(fallback, sizeof(fallback), "0.0.0.0:%.32s",
             port && *port ? port : "8080");
    return bind_one(fallback, out) == 0 ? 1 : -1;
  }
  for (unsigned i = 0; i < v->n_items; i++) {
    /* gunicorn takes a comma-separated list, too. */
    char *copy = strdup(v->items[i]), *rest = copy, *word;
    while (copy && (word = strsep(&rest, ",")) != NULL) {
      if (n == CW_MAX_LISTENERS)
        cw_complain("--bind: more than %d addresses", CW_MAX_LISTENERS);
      if (n == CW_MAX_LISTENERS || bind_one(word, &out[n]) != 0) {
        cw_sockets_close(out, n);
        free(copy);
        return -1;
      }
      n++;
    }
    free(copy);
  }
  return n;
}

void cw_sockets_close(cw_listener_t *l, int n) {
  for (int i = 0; i < n; i++) {
    if (l[i].fd < 0) continue;
    close(l[i].fd);
    l[i].fd = -1;
    if (l[i].is_unix) unlink(l[i].host);
  }
}

void cw_socket_name(const cw_listener_t *l, char *out, size_t len) {
  if (l->is_unix)
    snprintf(out, len, "unix:%s", l->host);
  else
    snprintf(out, len, strchr(l->host, ':') ? "http://[%s]:%s" : "http://%s:%s",
             l->host, l->port);
}
