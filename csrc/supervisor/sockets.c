/* SPDX-License-Identifier: MIT */
/* Parsing addresses and binding them. */
#include "supervisor/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/signals.h"
#include "supervisor/binds.h"
#include "supervisor/guarded.h"
#include "supervisor/identity.h"

enum { FIRST_LISTEN_FD = 3, TRIES = 5 };

/* ---- patience ------------------------------------------------------------- */

/* Whether to try once more after `errno`, with `*tries` left: what has the address may
 * be about to end, as at a restart. Waits before that. False where a signal to stop has
 * come meanwhile; it stays pending. */
static bool try_again(const char *name, int *tries) {
  const struct timespec second = {.tv_sec = 1};
  if (errno != EADDRINUSE || --*tries <= 0) return false;
  cw_complain("%s is in use; trying again in 1 s", name);
  sigset_t set = cw_stop_signals();
  int sig = sigtimedwait(&set, NULL, &second);
  if (sig > 0) kill(getpid(), sig);
  errno = EADDRINUSE;
  return sig <= 0;
}

static void complain_of(const char *name, const char *port) {
  if (errno == EADDRINUSE)
    cw_complain("%s is in use: stop what listens there, or choose another with --bind",
                name);
  else if (errno == EACCES && port && atoi(port) < 1024)
    cw_complain(
        "cannot bind %s: %s; ports below 1024 need root, CAP_NET_BIND_SERVICE or "
        "net.ipv4.ip_unprivileged_port_start: choose a higher one with --bind",
        name, strerror(errno));
  else
    cw_complain("cannot bind %s: %s", name, strerror(errno));
}

/* ---- one address ---------------------------------------------------------- */

/* What the kernel says the socket is bound to. Returns 0 or -1. */
static int describe(int fd, cw_listener_t *l) {
  struct sockaddr_storage bound = {.ss_family = AF_UNSPEC};
  socklen_t len = sizeof(bound);
  if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0) return -1;
  l->fd = fd;
  if (bound.ss_family == AF_UNIX) {
    const struct sockaddr_un *un = (const void *)&bound;
    l->is_unix = 1;
    snprintf(l->host, sizeof(l->host), "%.107s", un->sun_path);
    return 0;
  }
  return getnameinfo((struct sockaddr *)&bound, len, l->host, sizeof(l->host), l->port,
                     sizeof(l->port), NI_NUMERICHOST | NI_NUMERICSERV) == 0
             ? 0
             : -1;
}

static int bind_inet(const char *text, const cw_settings_t *s, cw_listener_t *l,
                     int tries) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found,
                  *a;
  if (cw_bind_split(text, l->host, sizeof(l->host), l->port, sizeof(l->port)) != 0) {
    cw_complain("'%s' is not HOST:PORT, :PORT, [V6]:PORT or unix:PATH", text);
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
      (cw_opt_num(s, CW_OPT_REUSE_PORT) &&
       setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0))
    rc = -1;
  while (rc == 0 && (rc = bind(fd, a->ai_addr, a->ai_addrlen)) != 0 &&
         try_again(text, &tries))
    rc = 0;
  if (rc != 0) {
    complain_of(text, l->port);
    freeaddrinfo(found);
    if (fd >= 0) close(fd);
    return -1;
  }
  freeaddrinfo(found);
  cw_listener_t bound = {.fd = -1};
  /* The host stays as it was written; the port may have been 0. */
  if (describe(fd, &bound) == 0) memcpy(l->port, bound.port, sizeof(l->port));
  return fd;
}

typedef struct binding {
  struct sockaddr_un addr;
  int fd;
} binding_t;

/* Binds to the path, in the place of a socket that nobody listens to. */
static int bind_path(const char *path, void *data) {
  binding_t *b = data;
  struct stat st;
  if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
    /* Left behind by a server that was killed; a live one answers. */
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool live = probe >= 0 &&
                (connect(probe, (struct sockaddr *)&b->addr, sizeof(b->addr)) == 0 ||
                 errno == EAGAIN);
    if (probe >= 0) close(probe);
    if (live) {
      errno = EADDRINUSE;
      return -1;
    }
    if (unlink(path) != 0) return -1;
  }
  return bind(b->fd, (struct sockaddr *)&b->addr, sizeof(b->addr));
}

/* Gives a socket that root has made to the workers, and nothing else that may be there
 * by now. */
static int hand_over(const char *path, const cw_identity_t *who) {
  struct stat st;
  int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  int rc = fd >= 0 ? fstat(fd, &st) : -1;
  if (rc == 0 &&
      (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)) {
    errno = EPERM;
    rc = -1;
  }
  if (rc == 0) rc = fchownat(fd, "", who->uid, who->gid, AT_EMPTY_PATH);
  int saved = errno;
  if (fd >= 0) close(fd);
  errno = saved;
  return rc;
}

static int bind_unix(const char *path, const cw_settings_t *s, cw_listener_t *l,
                     int tries) {
  char name[128];
  binding_t b = {.addr.sun_family = AF_UNIX};
  cw_identity_t who;
  if (!*path || strlen(path) >= sizeof(b.addr.sun_path)) {
    cw_complain("--bind: the path of a Unix socket has 1 to %zu bytes: '%s'",
                sizeof(b.addr.sun_path) - 1, path);
    return -1;
  }
  if (cw_identity_read(s, &who) != 0) return -1;
  snprintf(b.addr.sun_path, sizeof(b.addr.sun_path), "%s", path);
  snprintf(l->host, sizeof(l->host), "%s", path);
  snprintf(name, sizeof(name), "unix:%s", path);
  l->is_unix = 1;
  b.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (b.fd < 0) goto fail;
  /* Any user may connect, as with gunicorn, unless --umask says otherwise. */
  const char *mask = cw_opt_str(s, CW_OPT_UMASK);
  mode_t old = umask(mask ? (mode_t)cw_mode_parse(mask) : 0);
  bool as_root;
  int rc;
  do rc = cw_guarded_call(&who, path, bind_path, &b, &as_root);
  while (rc != 0 && try_again(name, &tries));
  umask(old);
  if (rc == 0 && as_root) rc = hand_over(path, &who);
  if (rc == 0) return b.fd;
fail:
  complain_of(name, NULL);
  if (b.fd >= 0) close(b.fd);
  return -1;
}

/* Takes a listening socket that is open already. */
static int adopt(const char *number, cw_listener_t *l) {
  char *end;
  long fd = strtol(number, &end, 10);
  int on = 1;
  if (end == number || *end || fd < 0 || describe((int)fd, l) != 0) {
    cw_complain("--bind: fd://%s is no open socket", number);
    return -1;
  }
  fcntl((int)fd, F_SETFD, FD_CLOEXEC);
  fcntl((int)fd, F_SETFL, fcntl((int)fd, F_GETFL) | O_NONBLOCK);
  if (!l->is_unix) (void)setsockopt((int)fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return 0;
}

static int bind_one(const char *text, const cw_settings_t *s, cw_listener_t *l,
                    int tries) {
  memset(l, 0, sizeof(*l));
  if (strncmp(text, "fd://", 5) == 0) return adopt(text + 5, l);
  if (strncmp(text, "unix://", 7) == 0)
    l->fd = bind_unix(text + 7, s, l, tries);
  else if (strncmp(text, "unix:", 5) == 0)
    l->fd = bind_unix(text + 5, s, l, tries);
  else
    l->fd = bind_inet(text, s, l, tries);
  return l->fd < 0 ? -1 : 0;
}

/* The socket of `text` in `set`, or NULL. */
static const cw_listener_t *find(const cw_sockets_t *set, const char *text) {
  for (int i = 0; set && i < set->n; i++)
    if (strcmp(set->text[i], text) == 0) return &set->l[i];
  return NULL;
}

/* Adds the socket of one address: that of `old` where it has one. A server that serves
 * already does not wait for an address. */
static int add(cw_sockets_t *out, const char *text, const cw_sockets_t *old,
               const cw_settings_t *s) {
  const cw_listener_t *same = find(old, text);
  cw_listener_t *l = &out->l[out->n];
  if (out->n == CW_MAX_LISTENERS) {
    cw_complain("--bind: more than %d addresses", CW_MAX_LISTENERS);
    return -1;
  }
  if (same) {
    *l = *same;
    l->fd = fcntl(same->fd, F_DUPFD_CLOEXEC, 0);
    if (l->fd < 0) cw_complain("cannot keep %s: %s", text, strerror(errno));
  }
  if (same ? l->fd < 0 : bind_one(text, s, l, old ? 1 : TRIES) != 0) return -1;
  out->text[out->n] = strdup(text);
  if (!out->text[out->n]) {
    close(l->fd);
    cw_complain("out of memory");
    return -1;
  }
  out->n++;
  return 0;
}

/* Every address of a comma-separated list, as gunicorn takes it. */
static int add_list(cw_sockets_t *out, const char *list, const cw_sockets_t *old,
                    const cw_settings_t *s) {
  char *copy = strdup(list), *rest = copy, *word;
  int rc = copy ? 0 : -1;
  while (rc == 0 && (word = strsep(&rest, ",")) != NULL)
    rc = add(out, word + strspn(word, " "), old, s);
  free(copy);
  return rc;
}

/* Sockets that somebody else made: $LISTEN_FDS (systemd's sd_listen_fds). Returns 0 or
 * -1. */
static int add_inherited(cw_sockets_t *out, const cw_settings_t *s) {
  const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
  char text[32];
  bool ours = pid && fds && atol(pid) == (long)getpid();
  for (int i = 0; ours && i < atoi(fds); i++) {
    snprintf(text, sizeof(text), "fd://%d", FIRST_LISTEN_FD + i);
    if (add(out, text, NULL, s) != 0) return -1;
  }
  out->inherited = out->n > 0;
  return 0;
}

/* ---- USR2 ----------------------------------------------------------------- */

/* "PID INHERITED", and for each socket "FD METRICS ADDRESS" on a line of its own. */
int cw_sockets_hand_over(const cw_sockets_t *set, pid_t pid) {
  cw_buf_t text = {0};
  char line[64];
  int n = snprintf(line, sizeof(line), "%d %d", (int)pid, set->inherited);
  int rc = cw_buf_append(&text, line, (size_t)n);
  for (int i = 0; rc == 0 && i < set->n; i++) {
    const cw_listener_t *l = &set->l[i];
    fcntl(l->fd, F_SETFD, 0);
    n = snprintf(line, sizeof(line), "\n%d %d ", l->fd, l->metrics);
    rc = cw_buf_append(&text, line, (size_t)n);
    if (rc == 0) rc = cw_buf_append(&text, set->text[i], strlen(set->text[i]));
  }
  if (rc == 0) rc = cw_buf_append(&text, "", 1);
  if (rc == 0) rc = setenv(CW_ENV_UPGRADE, text.p, 1);
  cw_buf_free(&text);
  return rc;
}

/* Reads that. Returns 0, or -1 after saying what is wrong. */
static int take_over(const char *text, cw_sockets_t *out) {
  char *p, port[CW_PORT_TEXT];
  (void)strtol(text, &p, 10);
  out->inherited = strtol(p, &p, 10) != 0;
  while (*p == '\n' && out->n < CW_MAX_LISTENERS) {
    cw_listener_t *l = &out->l[out->n];
    *l = (cw_listener_t){.fd = -1};
    int fd = (int)strtol(p, &p, 10);
    l->metrics = strtol(p, &p, 10) != 0;
    p += *p == ' ';
    size_t len = strcspn(p, "\n");
    char *address = strndup(p, len);
    if (!address || describe(fd, l) != 0) {
      cw_complain("the cwsgi before this one left no socket for '%.*s'", (int)len, p);
      free(address);
      return -1;
    }
    /* The host as it was written, not as it was bound. */
    if (!l->is_unix && strncmp(address, "fd://", 5) != 0 &&
        cw_bind_split(address, l->host, sizeof(l->host), port, sizeof(port)) != 0)
      cw_complain("the cwsgi before this one wrote '%s' for an address", address);
    out->text[out->n++] = address;
    p += len;
  }
  return 0;
}

/* ---- all of them ---------------------------------------------------------- */

static int open_all(const cw_settings_t *s, const cw_sockets_t *old,
                    cw_sockets_t *out) {
  const cw_value_t *v = &s->v[CW_OPT_BIND];
  const char *metrics = cw_opt_str(s, CW_OPT_METRICS);
  if (old && old->inherited) {
    out->inherited = true;
    for (int i = 0; i < old->n; i++)
      if (!old->l[i].metrics && add(out, old->text[i], old, s) != 0) return -1;
  } else if (!old && add_inherited(out, s) != 0) {
    return -1;
  }
  bool given = out->n > 0;
  for (unsigned i = 0; !given && i < v->n_items; i++)
    if (add_list(out, v->items[i], old, s) != 0) return -1;
  if (metrics && metrics[0] != '/') {
    if (add(out, metrics, old, s) != 0) return -1;
    out->l[out->n - 1].metrics = 1;
  }
  return 0;
}

/* The family of a socket; *any where it is every IPv6 address and takes IPv4, too. */
static int family_of(const cw_listener_t *l, bool *any) {
  struct sockaddr_in6 bound = {.sin6_family = AF_UNSPEC};
  socklen_t len = sizeof(bound), size = sizeof(int);
  int only = 0;
  *any = getsockname(l->fd, (struct sockaddr *)&bound, &len) == 0 &&
         bound.sin6_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&bound.sin6_addr) &&
         getsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size) == 0 && !only;
  return bound.sin6_family;
}

/* Sockets that cannot both listen can all be bound. Returns 0, or -1 after naming one.
 */
static int check_pairs(const cw_sockets_t *set, const cw_settings_t *s) {
  bool any, unused;
  for (int i = 0; !cw_opt_num(s, CW_OPT_REUSE_PORT) && i < set->n; i++) {
    (void)family_of(&set->l[i], &any);
    for (int k = 0; any && k < set->n; k++)
      if (family_of(&set->l[k], &unused) == AF_INET &&
          strcmp(set->l[i].port, set->l[k].port) == 0) {
        cw_complain("%s is in use: %s takes IPv4, too; leave one of the two out",
                    set->text[CW_MAX(i, k)], set->text[i]);
        return -1;
      }
  }
  return 0;
}

int cw_sockets_open(const cw_settings_t *s, const cw_sockets_t *old,
                    cw_sockets_t *out) {
  const char *upgrade = getenv(CW_ENV_UPGRADE);
  cw_sockets_t handed = {.n = 0};
  int rc = 0;
  *out = (cw_sockets_t){.n = 0};
  if (!old && upgrade) {
    rc = take_over(upgrade, &handed);
    old = &handed;
  }
  if (rc == 0) rc = open_all(s, old, out);
  if (rc == 0) rc = check_pairs(out, s);
  if (rc != 0) cw_sockets_close(out, old, s);
  cw_sockets_close(&handed, NULL, NULL);
  unsetenv(CW_ENV_UPGRADE);
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  return rc;
}

/* A file that is no longer there, or that somebody has replaced, is not ours. */
static void remove_socket(const cw_settings_t *s, const char *path) {
  cw_identity_t who;
  if (cw_identity_read(s, &who) == 0 && cw_guarded_unlink(&who, path) != 0 &&
      errno != ENOENT)
    cw_log(CW_LOG_WARNING, "cannot remove %s: %s", path, strerror(errno));
}

void cw_sockets_close(cw_sockets_t *set, const cw_sockets_t *keep,
                      const cw_settings_t *remove) {
  for (int i = 0; i < set->n; i++) {
    close(set->l[i].fd);
    /* The file of a socket that was handed to us is its maker's. */
    if (remove && set->l[i].is_unix && strncmp(set->text[i], "fd://", 5) != 0 &&
        !find(keep, set->text[i]))
      remove_socket(remove, set->l[i].host);
    free(set->text[i]);
  }
  set->n = 0;
}

void cw_socket_name(const cw_listener_t *l, char *out, size_t len) {
  if (l->is_unix)
    snprintf(out, len, "unix:%s", l->host);
  else
    snprintf(out, len, strchr(l->host, ':') ? "http://[%s]:%s" : "http://%s:%s",
             l->host, l->port);
}
