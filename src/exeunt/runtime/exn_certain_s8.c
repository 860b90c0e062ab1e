#include "exn_halving.h"
#include "exn_s8.h"

/* `most` times 2^-bits, 2^20 being 1; bits in 65536ths, between which lines are straight. */
static uint64_t halved(uint64_t most, uint64_t bits)
{
    uint32_t at = (uint32_t)bits >> 8 & 255, here = exn_halving[at];
    uint32_t next = at < 255 ? exn_halving[at + 1] : (uint32_t)1 << (EXN_HALVING_BITS - 1);
    return most * (here - ((here - next) * ((uint32_t)bits & 255) >> 8)) >> (bits >> 16);
}

int exn_certain_s8(const exn_model *model, const uint8_t *arena, uint8_t exit)
{
    const exn_policy_s8 *policy = model->policy->thresholds;
    const int16_t *scores = (const void *)(arena + model->rings[model->logits[exit]].places[0]);
    int32_t most = scores[0];
    uint64_t total = 0, behind = 0;
    uint32_t k;
    for (k = 1; k < model->class_count; k++) {
        most = exn_larger(most, scores[k]);
    }
    for (k = 0; k < model->class_count; k++) {
        uint64_t halvings = ((uint64_t)(most - scores[k]) * policy->softness[exit]) >> 16;
        uint32_t share = exn_likelihood(halvings);
        total += share;
        behind += share * halvings;
    }
    /* the entropy in bits is log2(total) - 20 + behind / total / 256 */
    return total << 16 <= halved(policy->perplexity[exit], (behind << 8) / total);
}
