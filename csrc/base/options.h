/* SPDX-License-Identifier: MIT */
/* The one table of options and the settings it yields.
 *
 * options_table.h names every option once; the parser, --help, the environment
 * and the worker's copy of the settings all come from it. Launcher and supervisor
 * fill a cw_settings_t, workers read their copy; single-threaded until then. */
#ifndef CW_BASE_OPTIONS_H
#define CW_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/macros.h"

typedef enum cw_opt {
#define CW_OPTION(id, ...) CW_OPT_##id,
#include "base/options_table.h"
#undef CW_OPTION
  CW_OPT_COUNT
} cw_opt_t;

/* Where a value came from; a later one wins over an earlier one, in whatever order they
 * are read. */
typedef enum cw_source {
  CW_FROM_DEFAULT,
  CW_FROM_ENV,
  CW_FROM_FILE,
  CW_FROM_CMD_ARGS,
  CW_FROM_ARGV,
} cw_source_t;

typedef struct cw_value {
  cw_source_t source;
  int64_t num;  /* count, bytes, milliseconds or 0/1 */
  char **items; /* text options: one item; lists: all; owned */
  unsigned n_items;
} cw_value_t;

typedef struct cw_settings {
  cw_value_t v[CW_OPT_COUNT];
} cw_settings_t;

/* Fills in the table's defaults. Returns 0 or -1 when out of memory. */
CW_MUSTCHECK int cw_settings_init(cw_settings_t *s);
void cw_settings_fini(cw_settings_t *s);

/* Reads the environment variables the table names. Returns 0, or -1 after writing
 * the reason to `err`. */
CW_MUSTCHECK int cw_settings_read_env(cw_settings_t *s, char *err, size_t err_len);

/* Reads the words of a command line (without the program's name). The positional
 * word is the app reference. Same results as cw_settings_read_env(). */
CW_MUSTCHECK int cw_settings_read_args(cw_settings_t *s, int argc, char **argv,
                                       cw_source_t source, char *err, size_t err_len);

/* The same for $CWSGI_CMD_ARGS or, where that is not set, $GUNICORN_CMD_ARGS: words as
 * a POSIX shell splits them. */
CW_MUSTCHECK int cw_settings_read_cmd_args(cw_settings_t *s, char *err, size_t err_len);

/* Reads what a configuration file says (python/cwsgi/_config.py wrote it): `len` bytes
 * of NUL-ended "name=value" for plain values, "name[=value" for each element of a
 * sequence and "name()=" for a function; "environ[=" tells of variables. Names that are
 * no settings are passed over. Same results. */
CW_MUSTCHECK int cw_settings_read_file(cw_settings_t *s, const char *data, size_t len,
                                       char *err, size_t err_len);

/* Sets a text option. Returns 0 or -1 (out of memory). */
CW_MUSTCHECK int cw_settings_set_text(cw_settings_t *s, cw_opt_t id, const char *text,
                                      cw_source_t source);

/* Appends the settings to `out` as NUL-ended "name=value" strings, and reads them
 * back. Both return 0 or -1 (out of memory; a value that does not parse). */
CW_MUSTCHECK int cw_settings_pack(const cw_settings_t *s, cw_buf_t *out);
CW_MUSTCHECK int cw_settings_unpack(cw_settings_t *s, const char *data, size_t len);

/* Appends every setting that has a value, defaults too, in the form that
 * cw_settings_read_file() reads: for Python's eyes. Returns 0 or -1 (out of memory). */
CW_MUSTCHECK int cw_settings_entries(const cw_settings_t *s, cw_buf_t *out);

/* Whether --logger-class names a logger that is more than what the server does itself.
 */
bool cw_settings_have_logger(const cw_settings_t *s);

/* Number of a numeric option: a count, bytes, milliseconds or 0/1. */
int64_t cw_opt_num(const cw_settings_t *s, cw_opt_t id);
/* Text of a text option, or NULL where it is not set. Borrowed from `s`. */
const char *cw_opt_str(const cw_settings_t *s, cw_opt_t id);
/* Whether something other than the table's default gave the value. */
bool cw_opt_given(const cw_settings_t *s, cw_opt_t id);

/* Whether --hooks' list, filled by the configuration file, has `name`. */
bool cw_opt_has(const cw_settings_t *s, cw_opt_t id, const char *item);

/* What the service is called: --name, else the app, else the first mount. Borrowed. */
const char *cw_settings_name(const cw_settings_t *s);

/* A mode in gunicorn's spelling: 18, 022, 0o22 or 0x12. Returns it, or -1. */
int cw_mode_parse(const char *text);

/* A word that is no app, and what it does. Lists of them end with a word that is NULL.
 */
typedef struct cw_command {
  const char *word, *help;
} cw_command_t;

/* Writes a script that completes options and `commands` in `shell`: bash, zsh or fish.
 * Returns 0, or -1 where it is none of these. */
CW_MUSTCHECK int cw_options_completion(const char *shell, const cw_command_t *commands,
                                       FILE *out);

/* Writes the option list for --help, the manual page, the reference page, and every
 * setting (with `given` only those that somebody has given) with its value and source.
 */
void cw_options_help(const cw_command_t *commands, FILE *out);
void cw_options_man(const cw_command_t *commands, FILE *out);
void cw_options_markdown(FILE *out);
void cw_settings_print(const cw_settings_t *s, bool given, FILE *out);

#endif
