/* SPDX-License-Identifier: MIT */
/* HUP: a new generation of workers beside the old one, and back where it fails. */
#include "supervisor/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "supervisor/adopt.h"
#include "supervisor/boot.h"
#include "supervisor/checks.h"
#include "supervisor/generation.h"
#include "supervisor/hooks.h"
#include "supervisor/reports.h"
#include "supervisor/sdnotify.h"

static void notify_reloading(void) {
  char text[96];
  snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
           (long long)cw_now_us());
  cw_sd_notify(text);
}

/* A generation that never served goes without ceremony: all is as it was before. */
static void drop_unproven(state_t *st) {
  generation_t *failed = st->gen;
  int before = st->want;
  st->gen = st->fallback;
  st->fallback = NULL;
  st->want = st->gen->want;
  st->automatic = st->gen->automatic;
  cw_enter_dir(st, &st->gen->settings);
  if (cw_reports_open(&st->gen->settings) != 0)
    cw_log(CW_LOG_ERROR, "logs go on where they went");
  cw_adopt_end_zygote(st, failed);
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    worker_t *w = &st->workers[i];
    if (w->gen != failed || !w->pid) continue;
    w->leaving = w->told = true;
    kill(w->pid, w->sent = SIGKILL);
  }
  cw_generation_unref(st, failed);
  if (before != st->want)
    cw_hooks_call(st, CW_HOOK_NWORKERS_CHANGED, "%d %d", st->want, before);
}

void cw_reload_failed(state_t *st, const char *why) {
  drop_unproven(st);
  cw_log(CW_LOG_ERROR, "Reload failed: %s; the old workers go on serving", why);
  st->next = 0;
  st->failures = 0;
  cw_sd_notify("READY=1");
}

/* What was wrong with them has been said. */
static void refuse_settings(state_t *st) {
  cw_enter_dir(st, &st->gen->settings);
  cw_log(CW_LOG_ERROR,
         "Reload failed: the settings cannot be used; the old workers go on serving");
  cw_sd_notify("READY=1");
}

void cw_reload(state_t *st) {
  cw_settings_t settings;
  if (st->fallback) {
    cw_log(CW_LOG_INFO, "The reload under way is given up for a newer one");
    drop_unproven(st);
  }
  notify_reloading();
  cw_enter_dir(st, NULL);
  if (st->launcher->read_settings(st->launcher->data, &settings) != 0) {
    refuse_settings(st);
    return;
  }
  bool automatic;
  generation_t *gen = NULL;
  if (cw_settings_work_out(&settings, &automatic) != 0 ||
      cw_settings_check(&settings) != 0) {
    cw_settings_fini(&settings);
  } else {
    cw_enter_dir(st, &settings);
    gen = cw_generation_new(st, &settings, st->gen);
  }
  if (!gen) {
    refuse_settings(st);
    return;
  }
  if (cw_reports_open(&gen->settings) != 0)
    cw_log(CW_LOG_ERROR, "logs go on where they went");
  int before = st->gen->want = st->want;
  st->gen->automatic = st->automatic;
  st->automatic = automatic;
  st->want = (int)cw_opt_num(&gen->settings, CW_OPT_WORKERS);
  st->fallback = st->gen;
  st->gen = gen;
  cw_generation_ref(gen);
  st->next = 0;
  st->failures = 0;
  cw_hooks_start(st);
  cw_hooks_call(st, CW_HOOK_ON_RELOAD, "%s", "");
  if (before != st->want)
    cw_hooks_call(st, CW_HOOK_NWORKERS_CHANGED, "%d %d", st->want, before);
}
