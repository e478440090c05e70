/* SPDX-License-Identifier: MIT */
/* Logs and statsd as the supervisor has them. */
#include "supervisor/reports.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/statsd.h"
#include "base/syslog.h"
#include "supervisor/guarded.h"
#include "supervisor/identity.h"

/* Whose log files are. */
static cw_identity_t owner;

static int open_log(const char *path) {
  return cw_guarded_log(&owner, path);
}

/* Makes a log file that workers of another user can open again. */
static int make_file(const cw_settings_t *s, cw_opt_t id, const char *flag) {
  const char *path = cw_opt_str(s, id);
  if (!path || strcmp(path, "-") == 0) return 0;
  int fd = open_log(path);
  if (fd >= 0) {
    close(fd);
    return 0;
  }
  cw_complain("%s: cannot write %s%s: %s", flag, path,
              owner.change ? " as the workers' user" : "", strerror(errno));
  return -1;
}

static int open_syslog(const cw_settings_t *s) {
  char err[256];
  if (cw_syslog_start(s, err, sizeof(err)) == 0) return 0;
  cw_complain("--log-syslog-to: %s", err);
  return -1;
}

int cw_reports_open(const cw_settings_t *s) {
  char err[256];
  cw_log_set_level((cw_log_level_t)cw_log_level_parse(cw_opt_str(s, CW_OPT_LOGLEVEL)));
  if (cw_identity_read(s, &owner) != 0) return -1;
  cw_log_set_opener(open_log);
  if (make_file(s, CW_OPT_ERRORLOG, "--error-logfile") != 0 ||
      make_file(s, CW_OPT_ACCESSLOG, "--access-logfile") != 0)
    return -1;
  if (cw_log_open(cw_opt_str(s, CW_OPT_ERRORLOG), err, sizeof(err)) != 0) {
    cw_complain("%s", err);
    return -1;
  }
  return open_syslog(s);
}

void cw_reports_identity(const cw_settings_t *s, const char *start) {
  const char *user = cw_opt_str(s, CW_OPT_USER), *config = cw_opt_str(s, CW_OPT_CONFIG);
  const char *places[] = {config, start};
  if (!owner.change || !user) return;
  if (owner.own_groups)
    cw_log(CW_LOG_INFO, "--user without --group: workers get the groups of %s (%ld%s)",
           user, (long)owner.gid, owner.n_groups > 1 ? " and others" : "");
  else if (!cw_opt_str(s, CW_OPT_GROUP))
    cw_log(
        CW_LOG_WARNING,
        "--user %s: no such user is listed, so workers keep group %ld; name one with "
        "--group",
        user, (long)owner.gid);
  for (size_t i = 0; i < CW_ARRAY_LEN(places); i++)
    if (places[i] && cw_guarded_is_theirs(&owner, places[i])) {
      cw_log(
          CW_LOG_WARNING,
          "%s can be changed by the workers' user: at the next start, or reload, root "
          "may run what a worker has put there",
          places[i]);
      return;
    }
}

void cw_reports_reopen(const cw_settings_t *s) {
  /* Workers of another user could not make files in a folder of root's. */
  if (make_file(s, CW_OPT_ERRORLOG, "--error-logfile") == 0)
    (void)make_file(s, CW_OPT_ACCESSLOG, "--access-logfile");
  cw_log_reopen();
}

void cw_reports_workers(const cw_settings_t *s, int workers) {
  static const char *const names[] = {"gunicorn.log.warning", "gunicorn.log.error",
                                      "gunicorn.log.critical"};
  static cw_statsd_t statsd;
  static int told = -1;
  const char *to = cw_opt_str(s, CW_OPT_STATSD_HOST);
  char err[128];
  if (!to || workers == told) return;
  told = workers;
  if (cw_statsd_open(&statsd, to, cw_opt_str(s, CW_OPT_STATSD_PREFIX),
                     cw_opt_str(s, CW_OPT_DOGSTATSD_TAGS), err, sizeof(err)) != 0)
    return; /* workers complain */
  cw_statsd_gauge(&statsd, "gunicorn.workers", workers);
  for (int level = CW_LOG_WARNING; level <= CW_LOG_CRITICAL; level++) {
    unsigned n = cw_log_take_count((cw_log_level_t)level);
    if (n) cw_statsd_count(&statsd, names[level - CW_LOG_WARNING], n);
  }
  cw_statsd_flush(&statsd);
  cw_statsd_close(&statsd);
}

void cw_reports_capture(const cw_settings_t *s) {
  if (cw_opt_num(s, CW_OPT_CAPTURE_OUTPUT)) cw_log_capture();
}
