#include "exn_exp_f32.h"
#include "exn_f32.h"

int exn_certain_f32(const exn_model *model, const uint8_t *arena, uint8_t exit)
{
    const exn_policy_f32 *policy = model->policy->thresholds;
    const float *scores = (const void *)(arena + model->rings[model->logits[exit]].places[0]);
    float temperature = policy->temperatures[exit], most = scores[0], total = 0.0f, behind = 0.0f;
    uint32_t k;
    for (k = 1; k < model->class_count; k++) {
        most = scores[k] > most ? scores[k] : most;
    }
    most /= temperature;
    for (k = 0; k < model->class_count; k++) {
        float ahead = scores[k] / temperature - most;
        float share = exn_exp(ahead);
        total += share;
        behind -= ahead > -87.0f ? share * ahead : 0.0f;
    }
    /* the entropy is log(total) + behind / total */
    return total * exn_exp(behind / total) <= policy->perplexity[exit];
}
