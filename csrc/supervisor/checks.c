/* SPDX-License-Identifier: MIT */
/* Defaults and checks. */
#include "supervisor/checks.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/access_format.h"
#include "base/addr.h"
#include "base/board.h"
#include "base/choices.h"
#include "base/import_string.h"
#include "base/log.h"
#include "base/resources.h"
#include "base/schemes.h"
#include "base/statsd.h"
#include "base/syslog.h"
#include "supervisor/binds.h"
#include "supervisor/identity.h"

enum {
  CLOUD_RUN_GRACE_MS = 9000, /* it allows 10 s */
  HEAD_MOST = 16 << 20,      /* bytes: a head is kept in memory, twice for a moment */
};

/* Whom and what the proxies are believed where the settings leave it open. */
static int work_out_proxies(cw_settings_t *s, bool cloud_run) {
  bool given = cw_opt_given(s, CW_OPT_FORWARDED_ALLOW_IPS);
  int rc = 0;
  if (given && !cw_opt_given(s, CW_OPT_FORWARDER_HEADERS)) {
    rc = cw_settings_set_text(s, CW_OPT_FORWARDER_HEADERS, "SCRIPT_NAME,PATH_INFO",
                              s->v[CW_OPT_FORWARDED_ALLOW_IPS].source);
  } else if (!given && cw_opt_given(s, CW_OPT_FORWARDER_HEADERS) &&
             cw_opt_str(s, CW_OPT_FORWARDER_HEADERS)[0]) {
    /* Whoever is on this machine could move a path past a proxy's rules. */
    cw_complain(
        "--forwarder-headers has no effect: --forwarded-allow-ips does not say "
        "whose fields these are");
    rc = cw_settings_set_text(s, CW_OPT_FORWARDER_HEADERS, "",
                              s->v[CW_OPT_FORWARDER_HEADERS].source);
  }
  /* Cloud Run's front end speaks from a link-local address, and nobody else can. It
   * always adds to X-Forwarded-For whom it speaks for. */
  if (rc == 0 && cloud_run && !given)
    rc = cw_settings_set_text(s, CW_OPT_FORWARDED_ALLOW_IPS,
                              "127.0.0.1,::1,169.254.0.0/16", CW_FROM_ENV);
  if (rc == 0 && cloud_run && !cw_opt_given(s, CW_OPT_TRUSTED_PROXY_HEADERS))
    rc = cw_settings_set_text(s, CW_OPT_TRUSTED_PROXY_HEADERS, "x-forwarded-for",
                              CW_FROM_ENV);
  if (rc != 0) cw_complain("out of memory");
  return rc;
}

/* The whole of a header section follows what is asked for of its parts. */
static void work_out_head(cw_settings_t *s) {
  enum { OTHER_FIELDS = 8 * 1024 };
  static const cw_opt_t parts[] = {CW_OPT_LIMIT_REQUEST_LINE,
                                   CW_OPT_LIMIT_REQUEST_FIELD_SIZE};
  cw_value_t *head = &s->v[CW_OPT_LIMIT_REQUEST_HEAD];
  int64_t need = OTHER_FIELDS;
  if (cw_opt_given(s, CW_OPT_LIMIT_REQUEST_HEAD)) return;
  for (size_t i = 0; i < CW_ARRAY_LEN(parts); i++)
    need += CW_MIN(cw_opt_num(s, parts[i]), (int64_t)HEAD_MOST);
  for (size_t i = 0; i < CW_ARRAY_LEN(parts); i++)
    if (need > head->num) head->source = CW_MAX(head->source, s->v[parts[i]].source);
  head->num = CW_MAX(head->num, need);
}

int cw_settings_work_out(cw_settings_t *s, bool *automatic) {
  cw_value_t *workers = &s->v[CW_OPT_WORKERS];
  cw_value_t *grace = &s->v[CW_OPT_GRACEFUL_TIMEOUT];
  bool cloud_run = getenv("K_SERVICE") != NULL;
  *automatic = workers->num == 0;
  if (*automatic) workers->num = cw_resources_cpus();
  if (!cw_opt_given(s, CW_OPT_GRACEFUL_TIMEOUT) && cloud_run) {
    grace->num = CLOUD_RUN_GRACE_MS;
    grace->source = CW_FROM_ENV;
  }
  /* As gunicorn: one request at a time. */
  s->v[CW_OPT_THREADS].num = CW_MAX(s->v[CW_OPT_THREADS].num, 1);
  work_out_head(s);
  if (work_out_proxies(s, cloud_run) != 0 || cw_binds_work_out(s) != 0) return -1;
  /* It must mean the same after it was entered. */
  char full[PATH_MAX];
  const char *dir = cw_opt_str(s, CW_OPT_CHDIR);
  if (dir && !*dir) dir = "."; /* gunicorn takes it for the present folder */
  if (dir && realpath(dir, full) &&
      cw_settings_set_text(s, CW_OPT_CHDIR, full, s->v[CW_OPT_CHDIR].source) != 0) {
    cw_complain("out of memory");
    return -1;
  }
  return 0;
}

static int check_networks(const cw_settings_t *s, cw_opt_t id, const char *flag) {
  cw_networks_t list = {NULL, 0, false};
  cw_span_t bad;
  int rc = cw_networks_add(&list, cw_opt_str(s, id), &bad);
  bool variable = id == CW_OPT_FORWARDED_ALLOW_IPS && s->v[id].source == CW_FROM_ENV;
  if (rc != 0)
    cw_complain("%s: '%.*s' is no address or network",
                variable ? "the environment variable FORWARDED_ALLOW_IPS" : flag,
                (int)bad.len, bad.p ? bad.p : "");
  cw_networks_free(&list);
  return rc;
}

/* Options about clients and proxies. */
static int check_peers(const cw_settings_t *s) {
  if (check_networks(s, CW_OPT_FORWARDED_ALLOW_IPS, "--forwarded-allow-ips") != 0 ||
      check_networks(s, CW_OPT_PROXY_ALLOW_IPS, "--proxy-allow-from") != 0)
    return -1;
  cw_span_t bad;
  if (cw_proxy_headers_parse(cw_opt_str(s, CW_OPT_TRUSTED_PROXY_HEADERS), &bad) < 0) {
    cw_complain(
        "--trusted-proxy-headers: '%.*s' is not x-forwarded-for, "
        "x-forwarded-host, x-forwarded-port, x-forwarded-proto or forwarded",
        (int)CW_MIN(bad.len, 80u), bad.p);
    return -1;
  }
  if (cw_proxy_mode_parse(cw_opt_str(s, CW_OPT_PROXY_PROTOCOL)) < 0) {
    cw_complain("--proxy-protocol: '%s' is not off, v1, v2 or auto",
                cw_opt_str(s, CW_OPT_PROXY_PROTOCOL));
    return -1;
  }
  if (cw_underscores_parse(cw_opt_str(s, CW_OPT_HEADER_MAP)) < 0) {
    cw_complain("--header-map: '%s' is not drop, refuse or dangerous",
                cw_opt_str(s, CW_OPT_HEADER_MAP));
    return -1;
  }
  return 0;
}

/* One of a few words. */
static int check_word(const cw_settings_t *s, cw_opt_t id, const char *flag,
                      const char *const *words, const char *expected) {
  const char *text = cw_opt_str(s, id);
  for (; *words; words++)
    if (strcmp(text, *words) == 0) return 0;
  cw_complain("%s: '%s' is not %s", flag, text, expected);
  return -1;
}

static int check_root_path(const char *path) {
  if (!path[0] || (path[0] == '/' && path[strlen(path) - 1] != '/')) return 0;
  cw_complain("--root-path: '%s' does not begin with '/', or ends with it", path);
  return -1;
}

/* gunicorn's worker classes: threads are decided on by --threads, and what an app is by
 * the app itself. */
static int check_worker_class(const char *name) {
  static const char *const async[] = {"gevent", "eventlet", "tornado", "aiohttp"};
  static const char *const fine[] = {"sync",
                                     "gthread",
                                     "gunicorn.workers.sync.SyncWorker",
                                     "gunicorn.workers.gthread.ThreadWorker",
                                     "SyncWorker",
                                     "ThreadWorker",
                                     "asgi",
                                     "gunicorn.workers.gasgi.ASGIWorker",
                                     "uvicorn.workers.UvicornWorker",
                                     "uvicorn.workers.UvicornH11Worker",
                                     "uvicorn_worker.UvicornWorker",
                                     "uvicorn_worker.UvicornH11Worker",
                                     "UvicornWorker"};
  for (size_t i = 0; i < CW_ARRAY_LEN(fine); i++)
    if (strcmp(name, fine[i]) == 0) return 0;
  for (size_t i = 0; i < CW_ARRAY_LEN(async); i++)
    if (strcasestr(name, async[i])) {
      cw_complain(
          "--worker-class: %s cannot be used: requests run in threads, those of "
          "ASGI apps in an event loop; leave it out and choose --threads",
          name);
      return -1;
    }
  cw_complain("--worker-class: '%s' is not sync, gthread or asgi", name);
  return -1;
}

static bool ends(cw_span_t text, const char *with) {
  size_t n = strlen(with);
  return text.len > n && strncasecmp(text.p + text.len - n, with, n) == 0;
}

/* A module is named as `import` has it; people try paths and other servers' files. */
static int check_ref(const char *ref) {
  static const char *const files[] = {".ini",  ".toml", ".cfg",  ".conf",
                                      ".yaml", ".yml",  ".json", ".xml"};
  cw_import_string_t parts;
  if (cw_import_string_split(ref, &parts)) return 0; /* the worker says what is wrong */
  cw_span_t module = parts.module;
  for (size_t i = 0; i < CW_ARRAY_LEN(files); i++)
    if (parts.bare && ends(module, files[i])) {
      cw_complain(
          "'%s' is no app: name that as module:name, as in main:app. Settings are "
          "options, or stand in a gunicorn.conf.py (--config)",
          ref);
      return -1;
    }
  const char *slash = memrchr(module.p, '/', module.len);
  cw_span_t name = module, folder = {module.p, 0};
  if (slash) {
    name = (cw_span_t){slash + 1, (size_t)(module.p + module.len - slash) - 1};
    folder.len = (size_t)CW_MAX(slash - module.p, 1);
  }
  bool script = ends(name, ".py");
  if (!slash && !script) return 0;
  name.len -= script ? 3 : 0;
  bool here = folder.len == 0 || (folder.len == 1 && folder.p[0] == '.');
  cw_complain("'%s' is a path; the app is named by its module: cwsgi %s%.*s%s%.*s:%s",
              ref, here ? "" : "--chdir ", here ? 0 : (int)folder.len, folder.p,
              here ? "" : " ", (int)name.len, name.p,
              parts.attr.len ? parts.attr.p : "app");
  return -1;
}

/* All of them. */
static int check_refs(const cw_settings_t *s) {
  const cw_value_t *mount = &s->v[CW_OPT_MOUNT];
  const char *ref = cw_opt_str(s, CW_OPT_WSGI_APP);
  int rc = ref ? check_ref(ref) : 0;
  for (unsigned i = 0; rc == 0 && i < mount->n_items; i++)
    rc = check_ref(strchr(mount->items[i], '=') + 1);
  return rc;
}

static int check_paths(const cw_settings_t *s) {
  const cw_value_t *warmup = &s->v[CW_OPT_WARMUP], *mount = &s->v[CW_OPT_MOUNT];
  const char *health = cw_opt_str(s, CW_OPT_HEALTH);
  for (unsigned i = 0; i < warmup->n_items; i++)
    if (warmup->items[i][0] != '/') {
      cw_complain("--warmup: '%s' does not begin with /", warmup->items[i]);
      return -1;
    }
  for (unsigned i = 0; i < mount->n_items; i++) {
    const char *eq = strchr(mount->items[i], '=');
    if (mount->items[i][0] != '/' || !eq || !eq[1]) {
      cw_complain("--mount: '%s' is not /PREFIX=MODULE:APP", mount->items[i]);
      return -1;
    }
  }
  if (health && health[0] != '/') {
    cw_complain("--health: '%s' does not begin with /", health);
    return -1;
  }
  return 0;
}

/* Limits that the whole header section cannot hold are an error, not without effect. */
static int check_head(const cw_settings_t *s) {
  enum { LINE_ENDS = 6 };
  int64_t head = cw_opt_num(s, CW_OPT_LIMIT_REQUEST_HEAD);
  int64_t line = cw_opt_num(s, CW_OPT_LIMIT_REQUEST_LINE);
  int64_t field = cw_opt_num(s, CW_OPT_LIMIT_REQUEST_FIELD_SIZE);
  if (head > HEAD_MOST || line > HEAD_MOST || field > HEAD_MOST) {
    cw_complain("--limit-request-%s: at most 16m", line > HEAD_MOST    ? "line"
                                                   : field > HEAD_MOST ? "field-size"
                                                                       : "head");
    return -1;
  }
  if (head >= line + field + LINE_ENDS && head > LINE_ENDS) return 0;
  cw_complain(
      "--limit-request-head: %lld bytes cannot hold a request line of %lld "
      "(--limit-request-line) and a field of %lld (--limit-request-field-size)",
      (long long)head, (long long)line, (long long)field);
  return -1;
}

static int check_numbers(const cw_settings_t *s) {
  if (cw_opt_num(s, CW_OPT_WORKERS) > CW_MAX_WORKERS / 2) {
    cw_complain("--workers: at most %d", CW_MAX_WORKERS / 2);
    return -1;
  }
  if (cw_opt_num(s, CW_OPT_THREADS) > 4096) {
    cw_complain("--threads: at most 4096");
    return -1;
  }
  if (cw_opt_num(s, CW_OPT_WS_MAX_QUEUE) < 1 ||
      cw_opt_num(s, CW_OPT_WS_MAX_QUEUE) > INT32_MAX) {
    cw_complain("--ws-max-queue: at least 1, at most %d", INT32_MAX);
    return -1;
  }
  if (check_head(s) != 0) return -1;
  const char *mask = cw_opt_str(s, CW_OPT_UMASK);
  if (mask && (cw_mode_parse(mask) < 0 || cw_mode_parse(mask) > 0777)) {
    cw_complain("--umask: '%s' is no file mode", mask);
    return -1;
  }
  return 0;
}

static int check_words(const cw_settings_t *s) {
  static const char *const when[] = {"ready", "early", NULL};
  static const char *const engines[] = {"auto", "inotify", "poll", NULL};
  static const char *const kinds[] = {"auto", "wsgi", "asgi", NULL};
  static const char *const loops[] = {"auto", "asyncio", "uvloop", NULL};
  static const char *const lifespans[] = {"auto", "on", "off", NULL};
  const char *listen = cw_opt_str(s, CW_OPT_LISTEN);
  if (check_word(s, CW_OPT_LISTEN, "--listen", when,
                 strpbrk(listen, ":0123456789")
                     ? "ready or early; the address of waitress's option of that name "
                       "is here --bind HOST:PORT"
                     : "ready or early") != 0 ||
      check_word(s, CW_OPT_RELOAD_ENGINE, "--reload-engine", engines,
                 "auto, inotify or poll") != 0 ||
      check_word(s, CW_OPT_INTERFACE, "--interface", kinds, "auto, wsgi or asgi") !=
          0 ||
      check_word(s, CW_OPT_LOOP, "--loop", loops, "auto, asyncio or uvloop") != 0 ||
      check_word(s, CW_OPT_LIFESPAN, "--lifespan", lifespans, "auto, on or off") != 0 ||
      check_root_path(cw_opt_str(s, CW_OPT_ROOT_PATH)) != 0 ||
      check_worker_class(cw_opt_str(s, CW_OPT_WORKER_CLASS)) != 0)
    return -1;
  if (cw_ws_compression_parse(cw_opt_str(s, CW_OPT_WS_PER_MESSAGE_DEFLATE)) < 0) {
    cw_complain("--ws-per-message-deflate: '%s' is not off, on or context",
                cw_opt_str(s, CW_OPT_WS_PER_MESSAGE_DEFLATE));
    return -1;
  }
  if (cw_log_level_parse(cw_opt_str(s, CW_OPT_LOGLEVEL)) < 0) {
    cw_complain("--log-level: '%s' is not one of debug, info, warning, error, critical",
                cw_opt_str(s, CW_OPT_LOGLEVEL));
    return -1;
  }
  return 0;
}

/* Logs and metrics. */
static int check_reports(const cw_settings_t *s) {
  char err[256];
  const char *statsd = cw_opt_str(s, CW_OPT_STATSD_HOST);
  const char *metrics = cw_opt_str(s, CW_OPT_METRICS);
  cw_schemes_t schemes;
  if (cw_schemes_parse(&schemes, cw_opt_str(s, CW_OPT_SECURE_SCHEME_HEADERS), err,
                       sizeof(err)) != 0) {
    cw_complain("%s", err);
    return -1;
  }
  /* A logger may have atoms of its own. */
  if (!cw_settings_have_logger(s) &&
      cw_access_format_check(cw_opt_str(s, CW_OPT_ACCESS_LOG_FORMAT), err,
                             sizeof(err)) != 0) {
    cw_complain("%s", err);
    return -1;
  }
  if (cw_syslog_check(cw_opt_str(s, CW_OPT_SYSLOG_ADDR),
                      cw_opt_str(s, CW_OPT_SYSLOG_FACILITY), err, sizeof(err)) != 0) {
    cw_complain("%s", err);
    return -1;
  }
  if (statsd && cw_statsd_check(statsd, err, sizeof(err)) != 0) {
    cw_complain("%s", err);
    return -1;
  }
  if (metrics && metrics[0] != '/' && !strchr(metrics, ':')) {
    cw_complain("--metrics: '%s' is no /PATH, HOST:PORT, :PORT or unix:PATH", metrics);
    return -1;
  }
  return 0;
}

int cw_settings_check(const cw_settings_t *s) {
  const char *dir = cw_opt_str(s, CW_OPT_CHDIR);
  const cw_value_t *env = &s->v[CW_OPT_RAW_ENV];
  cw_identity_t who;
  if (!cw_opt_str(s, CW_OPT_WSGI_APP) && !s->v[CW_OPT_MOUNT].n_items) {
    cw_complain("no app was named; try: cwsgi main:app");
    return -1;
  }
  if (check_words(s) != 0 || check_numbers(s) != 0 || check_paths(s) != 0 ||
      check_refs(s) != 0)
    return -1;
  if (dir && access(dir, X_OK) != 0) {
    cw_complain("--chdir: cannot enter %s: %s", dir, strerror(errno));
    return -1;
  }
  for (unsigned i = 0; i < env->n_items; i++)
    if (env->items[i][0] == '=') {
      cw_complain("--env: '%s' is not KEY=VALUE", env->items[i]);
      return -1;
    }
  if (cw_identity_look_up(s, &who) != 0) return -1;
  return check_peers(s) != 0 || check_reports(s) != 0 ? -1 : 0;
}
