#include "exn_s8.h"

extern const uint32_t exn_halving[256];

enum { FIRST_SHIFT = 20 };

/* exp((score - best) * softness) as 2^(-halvings / 256), 2^20 being 1. */
static uint32_t likelihood(uint64_t halvings)
{
    return halvings >> 8 > FIRST_SHIFT ? 0 : exn_halving[halvings & 255] >> (halvings >> 8);
}

/* `most` times 2^-bits, 2^20 being 1; bits in 65536ths. */
static uint64_t halved(uint64_t most, uint64_t bits)
{
    uint32_t at = (uint32_t)bits >> 8 & 255, here = exn_halving[at];
    uint32_t next = at < 255 ? exn_halving[at + 1] : (uint32_t)1 << (FIRST_SHIFT - 1);
    return most * (here - ((here - next) * ((uint32_t)bits & 255) >> 8)) >> (bits >> 16);
}

int exn_judge_s8(const exn_model *model, const uint8_t *arena, uint8_t exit,
                 uint16_t *class_index)
{
    const exn_policy_s8 *policy = model->policy->thresholds;
    const int16_t *scores = (const void *)(arena + model->rings[model->logits[exit]].places[0]);
    uint32_t best = 0, next = 0, k;
    uint64_t total = 0, behind = 0, first = (uint64_t)1 << FIRST_SHIFT;
    for (k = 1; k < model->class_count; k++) {
        best = scores[k] > scores[best] ? k : best;
    }
    *class_index = (uint16_t)best;
    if (policy == NULL || exit + 1 == model->exit_count) {
        return 1;
    }
    for (k = 0; k < model->class_count; k++) {
        uint64_t below = (uint32_t)(scores[best] - scores[k]);
        uint64_t halvings = (below * policy->softness[exit]) >> 16;
        uint32_t share = likelihood(halvings);
        total += share;
        behind += share * halvings;
        next = k != best && share > next ? share : next;
    }
    if (policy->confidence != NULL && first << 16 < policy->confidence[exit] * total) {
        return 0;
    }
    /* the entropy in bits is log2(total / first) + behind / total / 256 */
    if (policy->perplexity != NULL &&
        total << 16 > halved(policy->perplexity[exit], (behind << 8) / total)) {
        return 0;
    }
    return policy->margin == NULL || (first - next) << 16 >= policy->margin[exit] * total;
}
