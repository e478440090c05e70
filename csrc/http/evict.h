/* SPDX-License-Identifier: MIT */
/* Who goes when there is no place for a new connection, and who may have one of those
 * that are kept for probes and scrapes. Baton holder only. */
#ifndef CW_HTTP_EVICT_H
#define CW_HTTP_EVICT_H

#include "http/conn.h"

/* The connection that may go for another one: one that said goodbye a while ago; or
 * kept alive and idle for longest; or silent for longest since it was accepted; or
 * longest about its head. NULL where there is none: all are at work, or were accepted a
 * moment ago, which `*soon` tells. */
cw_conn_t *cw_evict_candidate(cw_server_t *srv, bool *soon);

/* The same at the connection limit, where one gone makes room for one. What is beyond
 * the limit goes first. */
cw_conn_t *cw_evict_for_one(cw_server_t *srv, bool *soon);

/* Whether a connection of the service may be accepted beyond the limit, in case it is a
 * probe: cw_evict_is_full() decides when its request is known. */
bool cw_evict_may_exceed(const cw_server_t *srv);

/* Whether `c`, which was accepted into a place that is kept for probes, has no other
 * one by now. Makes room for it where somebody else may go. */
bool cw_evict_is_full(cw_conn_t *c);

#endif
