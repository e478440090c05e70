/* SPDX-License-Identifier: MIT */
/* Debug builds know a struct when they meet it: long-lived ones carry a tag from their
 * making to their end, and it is checked where they come out of a void pointer, a list
 * or a handle. Release builds have neither. (After Varnish's miniobj.h.) */
#ifndef CW_BASE_TAG_H
#define CW_BASE_TAG_H

#include <assert.h>
#include <stdint.h>

enum {
  CW_TAG_SERVER = 0x5e12fe12,
  CW_TAG_CONN = 0xc0221ec7,
  CW_TAG_REQ = 0x12e90e57,
  CW_TAG_SCHED = 0x5c4ed01e,
};

#ifdef NDEBUG
#define CW_TAGGED _Static_assert(1, "no tag")
#define CW_TAG_SET(p, value) ((void)0)
#define CW_TAG_CHECK(p, value) ((void)0)
#else
/* The member, and what its maker and who meets it say. A tag of 0 is no object any
 * more. */
#define CW_TAGGED uint32_t tag
#define CW_TAG_SET(p, value) ((void)((p)->tag = (uint32_t)(value)))
#define CW_TAG_CHECK(p, value) assert((p)->tag == (uint32_t)(value))
#endif

#endif
