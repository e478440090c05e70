/* SPDX-License-Identifier: MIT */
/* --boot-trace: what is recorded before the package cwsgi can be imported. */
#ifndef CW_LAUNCHER_RECORDER_H
#define CW_LAUNCHER_RECORDER_H

/* Python code for an interpreter that was started with -S and has the marks
 * (base/marks.h) as its last argument. It records imports from here on in a module
 * _cwsgi_boot, runs what -S has left out, as the interpreter would have, and hides that
 * it was left out. cwsgi/_boot_trace.py goes on with it.
 *
 * `cw_recorder_plain` is for an interpreter whose user has said -S. */
extern const char cw_recorder[], cw_recorder_plain[];

#endif
