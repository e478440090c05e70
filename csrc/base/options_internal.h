/* SPDX-License-Identifier: MIT */
/* Shared by the files of base/ that know the option table. */
#ifndef CW_BASE_OPTIONS_INTERNAL_H
#define CW_BASE_OPTIONS_INTERNAL_H

#include "base/options.h"

typedef enum cw_opt_type { INT, SECONDS, BYTES, BOOL, TEXT, LIST } cw_opt_type_t;

/* What everybody has to know of an option. */
typedef struct cw_option_row {
  const char *name, *env;
  cw_opt_type_t type;
  const char *def;
} cw_option_row_t;

extern const cw_option_row_t cw_options_table[CW_OPT_COUNT];

/* What people read and write of it. The program alone has this: a worker gets its
 * settings by name. */
typedef struct cw_option_words {
  const char *flags, *metavar, *group, *help;
} cw_option_words_t;

/* The same, one after the other: each pointer in a table takes more room than most of
 * these words, and is relocated at every start. Flags come first. */
extern const char *const cw_option_text[CW_OPT_COUNT];

cw_option_words_t cw_words_of(const cw_option_row_t *o);

/* A setting of gunicorn's that has no counterpart here. */
typedef struct cw_foreign {
  const char *name, *flags;
  bool has_value;
  const char *defaults;
  bool refused;
  const char *text;
} cw_foreign_t;

extern const cw_foreign_t cw_foreign[];
extern const size_t cw_n_foreign;

/* An option of other servers, and what it is here. */
typedef struct cw_peer {
  const char *flag, *servers, *ours;
} cw_peer_t;

/* Goes to the next one, from {0} to the first. False at the end. */
bool cw_next_peer(cw_peer_t *peer);

/* Sets option `id` from `text`, unless a stronger source has spoken. A list grows
 * within one source and starts over when a stronger one speaks. Returns 0 or -1 with
 * `err` written. */
CW_MUSTCHECK int cw_option_set(cw_settings_t *s, cw_opt_t id, const char *text,
                               cw_source_t source, const char *spelled, char *err,
                               size_t err_len);

/* The variable with words of a command line: $CWSGI_CMD_ARGS or, where that is not set,
 * $GUNICORN_CMD_ARGS. */
const char *cw_cmd_args_name(void);

/* The option of this name, or -1. */
int cw_option_named(const char *name, size_t len);

#endif
