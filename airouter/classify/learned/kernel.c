/* The learned model's prediction for one request; the same numbers as `encode()` in
   text_features.py and `Model.predict()` in text_model.py, which say what is computed and why.
   Compiled and called by kernel.py. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHARS, WORDS, HEADS, BEFORE, SYSTEM, BLOCKS };
/* HIDDEN, the number of hidden units, is given on the command line: with a constant, the compiler
   makes vector instructions. */
enum { CLASSES = 4, MAX_ROWS = 255 };

static const uint64_t BASE = 0x9E3779B97F4A7C15, MIX = 0xD6E8FEB86659FD93,
                      SALT = 0xA0761D6478BD642F;

typedef struct {
    int32_t bits, seen_bits, longest, ngrams, dense_size, separates_size;
    float weights[BLOCKS], dense_limit;
    const uint8_t *separates, *seen;
    const uint64_t *kept; /* per 32 buckets: the row of the first kept one, and a bit for each */
    const int8_t *table;
    const float *table_scale, *dense, *mean, *scale, *bias, *out, *out_bias, *calibration;
} Model;

typedef struct {
    double p[CLASSES], unseen_ratio;
} Prediction;

static uint64_t mixed(uint64_t hash) {
    hash = (hash ^ (hash >> 32)) * MIX;
    return hash ^ (hash >> 32);
}

/* The half of a hash that says where it is in the tables. */
static uint32_t upper(uint64_t hash) { return hash >> 32; }

static int is_seen(const Model *model, uint32_t hash) {
    uint32_t at = hash >> (32 - model->seen_bits);
    return model->seen[at >> 3] >> (at & 7) & 1;
}

/* Writes the hashes of the words, and returns how many they are. */
static int hash_words(const Model *model, const uint32_t *codes, int size, uint64_t *words) {
    int count = 0;
    uint64_t sum = 0, place = 0;
    for (int i = 0; i < size; i++) {
        uint32_t code = codes[i], last = model->separates_size - 1;
        if (model->separates[code < last ? code : last]) {
            if (place) words[count++] = mixed(sum);
            sum = place = 0;
        } else {
            sum += mixed(code + MIX * ++place);
        }
    }
    return count;
}

/* Not inlined: GCC 12 would merge it with the loop around it, which then has no vector
   instructions and takes five times as long. */
__attribute__((noinline)) static void add_row(const int8_t *restrict row, int16_t *restrict sum) {
    for (int j = 0; j < HIDDEN; j++) sum[j] += row[j];
}

/* Adds to the hidden units what the distinct buckets of the hashes contribute. `slots` is scratch
   for at least 5 * count + 1 numbers. */
static void add_block(const Model *model, const uint32_t *hashes, int count, float weight,
                      uint32_t *slots, double *hidden) {
    uint32_t mask = 1;
    while (mask < 2 * (uint32_t)count) mask *= 2;
    memset(slots, 0xFF, mask * sizeof *slots);
    uint32_t *rows = slots + mask--;
    int distinct = 0;
    for (int i = 0; i < count; i++) { /* a set with open addressing */
        uint32_t bucket = hashes[i] >> (32 - model->bits), at = bucket * 0x9E3779B1u >> 8 & mask;
        while (slots[at] != bucket && slots[at] != UINT32_MAX) at = (at + 1) & mask;
        if (slots[at] == bucket) continue;
        slots[at] = rows[distinct++] = bucket;
        __builtin_prefetch(model->kept + (bucket >> 5));
    }
    count = 0;
    for (int i = 0; i < distinct; i++) {
        uint64_t kept = model->kept[rows[i] >> 5];
        uint32_t bit = 1u << (rows[i] & 31), bits = (uint32_t)kept;
        if (!(bits & bit)) continue;
        uint32_t row = (uint32_t)(kept >> 32) + __builtin_popcount(bits & (bit - 1));
        rows[count++] = row;
        __builtin_prefetch(model->table + (size_t)row * HIDDEN);
    }
    int32_t sum[HIDDEN] = {0};
    for (int start = 0; start < count; start += MAX_ROWS) { /* as many as int16 can hold */
        int16_t part[HIDDEN] = {0};
        int end = count < start + MAX_ROWS ? count : start + MAX_ROWS;
        for (int i = start; i < end; i++) add_row(model->table + (size_t)rows[i] * HIDDEN, part);
        for (int j = 0; j < HIDDEN; j++) sum[j] += part[j];
    }
    float value = (float)(weight / sqrt(distinct ? distinct : 1));
    for (int j = 0; j < HIDDEN; j++) hidden[j] += (double)value * sum[j];
}

/* Adds the ask's three blocks, and returns the unseen ratio. */
static double add_ask(const Model *model, const uint32_t *codes, int size, uint32_t *hashes,
                      uint64_t *words, uint32_t *slots, double *hidden) {
    int count = 0, grams = 0, seen = 0;
    for (int i = 0; i < size; i++) {
        uint64_t hash = 0;
        for (int n = 1; n <= model->longest && i + n <= size; n++) {
            hash = hash * BASE + codes[i + n - 1];
            if (!(model->ngrams >> n & 1)) continue;
            uint32_t gram = upper(mixed(hash ^ (uint64_t)n));
            hashes[count++] = gram;
            if (n == 4) grams++, seen += is_seen(model, gram);
        }
    }
    add_block(model, hashes, count, model->weights[CHARS], slots, hidden);

    int n = hash_words(model, codes, size, words);
    count = 0;
    for (int i = 0; i < n; i++) {
        uint32_t salted = upper(words[i] ^ SALT);
        hashes[count++] = salted;
        grams++, seen += is_seen(model, salted);
        if (i) hashes[count++] = upper(mixed((words[i - 1] * BASE + words[i]) ^ SALT * 2));
    }
    add_block(model, hashes, count, model->weights[WORDS], slots, hidden);

    uint64_t head = 0;
    count = 0;
    for (int i = 0; i < n && i < 3; i++) {
        head += words[i] * (2 * i + 1);
        hashes[count++] = upper(mixed(head ^ SALT * 3));
    }
    if (n) hashes[count++] = upper(mixed(words[n - 1] * 7 ^ SALT * 3));
    add_block(model, hashes, count, model->weights[HEADS], slots, hidden);
    return grams ? 1.0 - (double)seen / grams : 1.0;
}

/* Adds the block of an earlier turn or of the frame. */
static void add_other(const Model *model, const uint32_t *codes, int size, int block,
                      uint32_t *hashes, uint64_t *words, uint32_t *slots, double *hidden) {
    int count = hash_words(model, codes, size, words);
    for (int i = 0; i < count; i++) hashes[i] = upper(words[i]);
    for (int i = 0; i + 4 <= size; i++) {
        uint64_t hash = 0;
        for (int k = 0; k < 4; k++) hash = hash * BASE + codes[i + k];
        hashes[count++] = upper(mixed(hash ^ 4));
    }
    for (int i = 0; i < count; i++) hashes[i] ^= upper(SALT * (block + 1));
    add_block(model, hashes, count, model->weights[block], slots, hidden);
}

static void calibrate(const Model *model, const double *scores, float log_chars,
                      Prediction *found) {
    double mean = 0, first = -INFINITY, second = -INFINITY, top = -INFINITY, total = 0;
    double row[16], ratio = found->unseen_ratio, length = (log_chars - 4.5) / 1.5;
    for (int k = 0; k < CLASSES; k++) mean += scores[k] / CLASSES;
    for (int k = 0; k < CLASSES; k++) {
        double centred = scores[k] - mean;
        row[k] = centred, row[4 + k] = centred * ratio, row[8 + k] = centred * length;
        if (centred > first) second = first, first = centred;
        else if (centred > second) second = centred;
    }
    row[12] = ratio, row[13] = length, row[14] = (first - second) * 0.1, row[15] = 1;
    for (int k = 0; k < CLASSES; k++) {
        found->p[k] = 0;
        for (int i = 0; i < 16; i++) found->p[k] += row[i] * model->calibration[i * CLASSES + k];
        if (found->p[k] > top) top = found->p[k];
    }
    for (int k = 0; k < CLASSES; k++) total += found->p[k] = exp(found->p[k] - top);
    for (int k = 0; k < CLASSES; k++) found->p[k] /= total;
}

/* Predicts for the folded ask, earlier turns and frame (code points, one after another; a size of
   0: there is none). Returns 0, or -1 if there is no memory. */
int predict(const Model *model, const uint32_t *codes, int ask, int before, int frame,
            const float *dense, Prediction *found) {
    size_t chars = (size_t)ask + before + frame, most = chars * model->longest + 8;
    uint64_t *words = malloc(chars * sizeof *words + 6 * most * sizeof(uint32_t));
    if (!words) return -1;
    uint32_t *hashes = (uint32_t *)(words + chars), *slots = hashes + most;
    double hidden[HIDDEN] = {0}, scores[CLASSES];
    found->unseen_ratio = add_ask(model, codes, ask, hashes, words, slots, hidden);
    if (before) add_other(model, codes + ask, before, BEFORE, hashes, words, slots, hidden);
    if (frame) add_other(model, codes + ask + before, frame, SYSTEM, hashes, words, slots, hidden);
    free(words);

    for (int j = 0; j < HIDDEN; j++) hidden[j] = hidden[j] * model->table_scale[j] + model->bias[j];
    for (int i = 0; i < model->dense_size; i++) {
        float limit = model->dense_limit, value = (dense[i] - model->mean[i]) * model->scale[i];
        value = value > limit ? limit : value < -limit ? -limit : value;
        for (int j = 0; j < HIDDEN; j++) hidden[j] += value * model->dense[i * HIDDEN + j];
    }
    for (int k = 0; k < CLASSES; k++) scores[k] = model->out_bias[k];
    for (int j = 0; j < HIDDEN; j++) {
        hidden[j] = (float)hidden[j];
        if (hidden[j] <= 0) continue;
        for (int k = 0; k < CLASSES; k++) scores[k] += hidden[j] * model->out[j * CLASSES + k];
    }
    for (int k = 0; k < CLASSES; k++) scores[k] = (float)scores[k]; /* as numpy's */
    calibrate(model, scores, dense[0], found);
    return 0;
}

/* As `_counts()` in text_features.py: adds the characters of each script to `found`, and returns how
   many differ from those in lower case. `table_size`: of `script_of`; later code points count as its
   last one. */
int count_scripts(const uint8_t *script_of, uint32_t table_size, const uint32_t *codes,
                  const uint32_t *lower, int size, int32_t *found) {
    int upper = 0;
    for (int i = 0; i < size; i++) {
        found[script_of[codes[i] < table_size ? codes[i] : table_size - 1]]++;
        upper += codes[i] != lower[i];
    }
    return upper;
}
