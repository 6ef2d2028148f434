/* Counts events as plain good C does: the file mapped, one pass over its bytes, a hash table with open addressing.
 *
 *     tally run --external count_c='build/scripts/peers/count_c {events} {window_ns}' --stream cpu --grain 0 --workers 1
 *
 * Keys stay where they are in the file. Without windows a line is `key`; with, `time<TAB>key`, in order of time or not.
 * docs/programs.md has the protocol.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct slot {
  char const* key; /* null: free */
  size_t length;
  uint64_t hash;
  uint64_t window; /* number of the window */
  uint64_t count;
};

struct table {
  struct slot* slots;
  size_t size; /* a power of two */
  size_t used;
};

static void die(char const* what) {
  fprintf(stderr, "count_c: %s: %s\n", what, strerror(errno));
  exit(1);
}

static struct slot* make_slots(size_t size) {
  struct slot* const slots = calloc(size, sizeof *slots);
  if (slots == NULL) die("no memory");
  return slots;
}

/* The slot of a key in a window: its own, or the free one where it belongs. */
static struct slot* find(struct table const* table, char const* key, size_t length, uint64_t hash, uint64_t window) {
  size_t i = (size_t)(hash >> 32) & (table->size - 1);
  for (;; i = (i + 1) & (table->size - 1)) {
    struct slot* const slot = &table->slots[i];
    if (slot->key == NULL) return slot;
    if (slot->hash == hash && slot->length == length && slot->window == window && memcmp(slot->key, key, length) == 0)
      return slot;
  }
}

static void grow(struct table* table) {
  struct table larger = {make_slots(table->size * 2), table->size * 2, table->used};
  for (size_t i = 0; i < table->size; ++i) {
    struct slot const* const slot = &table->slots[i];
    if (slot->key != NULL) *find(&larger, slot->key, slot->length, slot->hash, slot->window) = *slot;
  }
  free(table->slots);
  *table = larger;
}

/* Nanoseconds of a time in seconds with up to nine decimals, which ends before `end`. */
static uint64_t nanoseconds(char const* text, char const* end) {
  uint64_t ns = 0;
  int decimals = -1;
  for (; text < end && decimals < 9; ++text) {
    if (*text == '.') {
      decimals = 0;
    } else {
      ns = ns * 10 + (uint64_t)(*text - '0');
      if (decimals >= 0) ++decimals;
    }
  }
  for (decimals = decimals < 0 ? 0 : decimals; decimals < 9; ++decimals) ns *= 10;
  return ns;
}

static void count_lines(struct table* table, char const* text, size_t size, uint64_t window_ns) {
  char const* const end = text + size;
  while (text < end) {
    uint64_t window = 0;
    if (window_ns > 0) {
      char const* const tab = memchr(text, '\t', (size_t)(end - text));
      if (tab == NULL) return;
      window = nanoseconds(text, tab) / window_ns;
      text = tab + 1;
    }
    /* Keys are short: the hash is made (FNV-1a, 64 bits; Fowler, Noll, Vo) while their end is looked for. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ window;
    char const* p = text;
    while (p < end && *p != '\n') hash = (hash ^ (unsigned char)*p++) * UINT64_C(0x100000001b3);
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    struct slot* const slot = find(table, text, (size_t)(p - text), hash, window);
    if (slot->key == NULL) {
      *slot = (struct slot){text, (size_t)(p - text), hash, window, 0};
      slot->count = 1;
      if (++table->used * 2 > table->size) grow(table);
    } else {
      ++slot->count;
    }
    text = p + 1;
  }
}

static void print_counts(struct table const* table, uint64_t window_ns) {
  for (size_t i = 0; i < table->size; ++i) {
    struct slot const* const slot = &table->slots[i];
    if (slot->key == NULL) continue;
    if (window_ns > 0) {
      uint64_t const start_ns = slot->window * window_ns;
      printf("%" PRIu64 ".%09" PRIu64 "\t", start_ns / 1000000000, start_ns % 1000000000);
    }
    printf("%" PRIu64 "\t%.*s\n", slot->count, (int)slot->length, slot->key);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s EVENTS WINDOW_NS\n", argv[0]);
    return 2;
  }
  int const file = open(argv[1], O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) die(argv[1]);
  uint64_t const window_ns = strtoull(argv[2], NULL, 10);
  size_t const size = (size_t)status.st_size;
  struct table table = {make_slots(4096), 4096, 0};

  puts("ready");
  fflush(stdout);
  char line[16];
  if (fgets(line, sizeof line, stdin) == NULL) return 1;

  char const* text = "";
  if (size > 0) {
    text = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (text == MAP_FAILED) die(argv[1]);
  }
  count_lines(&table, text, size, window_ns);
  puts("done");
  fflush(stdout);
  print_counts(&table, window_ns);
  return 0;
}
