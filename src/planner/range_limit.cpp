// Distance ranges of the custom scan; see range_limit.h.
#include "planner/range_limit.h"

#include "planner/vector_scan_state.h"

namespace vecann {

namespace {

// A search meets rows not quite in their order. When the first candidate beyond the limit has come, it goes on for as
// many nodes as it took until then, this many at most, or a quarter.
constexpr uint64 kMostBeyond = 100;

// A comparison of a distance with what bounds it from above.
struct Comparison {
    Node* distance;
    Node* bound;
    bool strict;
    bool real;  // the bound is a real rather than a double precision
};

// False when the condition is no such comparison, by its form.
bool TakeApart(Node* condition, Comparison* out) {
    if (condition == nullptr || !IsA(condition, OpExpr)) return false;
    OpExpr* op = reinterpret_cast<OpExpr*>(condition);
    if (list_length(op->args) != 2) return false;
    set_opfuncid(op);
    Node *left = static_cast<Node*>(linitial(op->args)), *right = static_cast<Node*>(lsecond(op->args));
    switch (op->opfuncid) {
        case F_FLOAT8LT:
        case F_FLOAT8LE:
        case F_FLOAT84LT:
        case F_FLOAT84LE:
            *out = {left, right, op->opfuncid == F_FLOAT8LT || op->opfuncid == F_FLOAT84LT, false};
            break;
        case F_FLOAT8GT:
        case F_FLOAT8GE:
        case F_FLOAT48GT:
        case F_FLOAT48GE:
            *out = {right, left, op->opfuncid == F_FLOAT8GT || op->opfuncid == F_FLOAT48GT, false};
            break;
        default:
            return false;
    }
    out->real = exprType(out->bound) == FLOAT4OID;
    // It must be the same for all rows.
    return !contain_var_clause(out->bound) && !contain_volatile_functions(out->bound) && !contain_subplans(out->bound);
}

}  // namespace

bool HasRangeLimit(List* restrictions, const OpExpr* distance) {
    ListCell* cell;
    foreach (cell, restrictions) {
        Comparison comparison;
        if (TakeApart(reinterpret_cast<Node*>(lfirst_node(RestrictInfo, cell)->clause), &comparison) &&
            equal(comparison.distance, distance))
            return true;
    }
    return false;
}

namespace {

// Is it the distance, as a column of the scan's tuple?
bool IsDistanceColumn(const VectorScanState& state, const Node* node) {
    if (!IsA(node, Var)) return false;
    const Var* var = reinterpret_cast<const Var*>(node);
    return var->varno == INDEX_VAR && var->varattno == state.distance_at + 1;
}

// Calls `visit(comparison)` for each condition of the plan that bounds the distance.
template <class Visit>
void ForComparisons(const VectorScanState& state, Visit visit) {
    ListCell* cell;
    foreach (cell, state.css.ss.ps.plan->qual) {
        Comparison comparison;
        if (TakeApart(static_cast<Node*>(lfirst(cell)), &comparison) && IsDistanceColumn(state, comparison.distance))
            visit(comparison);
    }
}

}  // namespace

void InitRangeLimit(VectorScanState* state) {
    RangeLimit* range = &state->range;
    const size_t most = static_cast<size_t>(list_length(state->css.ss.ps.plan->qual));
    range->bounds = PallocArray<RangeBound>(most);
    range->count = 0;
    ForComparisons(*state, [&](const Comparison& comparison) {
        Expr* bound = reinterpret_cast<Expr*>(comparison.bound);
        if (comparison.real)
            bound = reinterpret_cast<Expr*>(makeFuncExpr(F_FLOAT8_FLOAT4, FLOAT8OID, list_make1(bound), InvalidOid,
                                                         InvalidOid, COERCE_IMPLICIT_CAST));
        range->bounds[range->count++] = {ExecInitExpr(bound, &state->css.ss.ps), comparison.strict};
    });
}

void StartRangeLimit(VectorScanState* state) {
    RangeLimit* range = &state->range;
    range->limit = get_float8_infinity();
    range->is_strict = range->reached = false;
    range->end = 0;
    for (int i = 0; i < range->count; ++i) {
        bool is_null;
        const double bound = DatumGetFloat8(
            ExecEvalExprSwitchContext(range->bounds[i].value, state->css.ss.ps.ps_ExprContext, &is_null));
        if (is_null) {
            // Nothing passes.
            state->row_due = false;
            state->through = range->reached = true;
            continue;
        }
        // NaN is more than every number.
        if (std::isnan(bound) || bound > range->limit) continue;
        range->is_strict = range->bounds[i].strict || (range->is_strict && bound == range->limit);
        range->limit = bound;
    }
}

void StopBeyondLimit(VectorScanState* state) {
    RangeLimit* range = &state->range;
    // The row of a candidate that is not in a bitmap is not due; the candidate counts all the same.
    if (range->count == 0 || state->search == nullptr || state->through) return;
    // What comes late comes in no order, and says so with bounds that are no numbers.
    const double nearest = state->candidate.nearest;
    if (!std::isfinite(nearest)) return;
    if (range->is_strict ? nearest < range->limit : nearest <= range->limit) {
        // The walk is not through with what lies within.
        range->end = 0;
        return;
    }
    state->row_due = false;
    const uint64 expanded = state->search->counts.expanded;
    const uint64 usual = Max(Min(expanded, kMostBeyond), expanded / 4);
    const uint64 beyond = state->search->beyond;
    if (range->end == 0) range->end = expanded + (beyond > 0 ? Max(expanded, beyond) : usual);
    if (expanded >= range->end) state->through = range->reached = true;
}

void ExplainRangeLimit(VectorScanState* state, List* context, ExplainState* es) {
    StringInfoData text;
    initStringInfo(&text);
    ForComparisons(*state, [&](const Comparison& comparison) {
        const char* bound = deparse_expression(comparison.bound, context, es->verbose, false);
        appendStringInfo(&text, "%s%s %s", text.len > 0 ? " and " : "", comparison.strict ? "<" : "<=", bound);
    });
    if (text.len > 0) ExplainPropertyText("Distance Limit", text.data, es);
    if (es->analyze && state->started && state->range.reached)
        ExplainPropertyText("Stopped", "at the distance limit", es);
}

}  // namespace vecann
