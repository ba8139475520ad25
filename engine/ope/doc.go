// SPDX-License-Identifier: Apache-2.0

// Package ope estimates, from a log of what clinicians did, what another
// treatment policy would have achieved: off-policy evaluation. It is a leaf on
// plain slices and knows nothing of medicine.
//
// # Notation
//
// Trajectory i has steps t = 0 … T_i−1 with states s_t, actions a_t taken with
// probability b(a_t|s_t), and rewards r_t. There are n trajectories of P
// patients, γ is the discount, H the length of the longest trajectory, and
//
//	ρ_t      = π(a_t|s_t) / b(a_t|s_t)       ratio of the target policy π to b
//	w_{0:t}  = ρ_0 ρ_1 … ρ_t,  w_{0:−1} = 1   cumulative ratio
//	G        = Σ_t γ^t r_t                    return
//	w        = w_{0:T−1}                      weight of the whole trajectory
//	V̂(s)     = Σ_a π(a|s) Q̂(s, a)             a model of π's value
//
// Padding: a trajectory that has ended goes on with reward 0, Q̂ = V̂ = 0 and
// its last weight, w_{0:t} = w_{0:T_i−1} for t ≥ T_i. Weights are kept as
// logarithms, and normalised ones are divided by the largest before they are
// summed.
//
// # Estimators
//
//	Logged      1/n Σ_i G_i
//	IS          1/n Σ_i w_i G_i
//	WIS         Σ_i w_i G_i / Σ_i w_i
//	PDIS        1/n Σ_i Σ_t γ^t w_{0:t} r_t
//	WPDIS       Σ_t γ^t (Σ_i w_{0:t} r_t) / (Σ_i w_{0:t})          all i, padded
//	WPDISAlive  the same, sums over i with T_i > t only
//	DM          1/n Σ_i V̂(s_0)
//	DR          1/n Σ_i Σ_t γ^t [w_{0:t} (r_t − Q̂(s_t, a_t)) + w_{0:t−1} V̂(s_t)]
//	WDR         as DR, with u_{0:t} = w_{0:t} / Σ_j w_{0:t} for w_{0:t}/n, padded
//	PHWIS       Σ_ℓ n_ℓ/n · WIS of the n_ℓ trajectories of length ℓ
//	PHWPDIS     the same of WPDIS, PHWDR the same of WDR
//
// DR equals the recursion D_t = V̂(s_t) + ρ_t (r_t + γ D_{t+1} − Q̂(s_t, a_t)).
// WPDIS is the consistent form (CWPDIS of Thomas 2015, SNPDIS of SCOPE-RL);
// Precup's single ratio over all i and t is not consistent and is left out.
//
// # Assumptions
//
// Consistency and no interference: what is logged is what the action does.
// Sequential ignorability: s_t holds everything that moved both the choice and
// the outcome. No estimator can check it; without it every number here is an
// association. Overlap: π(a|s) > 0 only where b(a|s) > 0; see Diagnostics and
// CheckSupport. A right b (all but DM), or a right Q̂ (DM), or either of them (DR,
// WDR). Markov states are needed for Q̂ and for b that reads the state alone;
// the ratios themselves need none, so b may read the history. Patients are
// independent; their stays need not be.
//
// # Bias and variance
//
// IS and PDIS are unbiased and vary as the weights do, which for
// trajectory-long products is exponential in H. The normalised forms are
// biased by O(1/n), at n = 1 to the logged return itself, consistent, bounded
// by the returns (WIS) and usually far closer. DR is unbiased with an exact b or an exact
// Q̂, if Q̂ was fitted on other patients (CrossFQE). WDR trades that for less
// variance. DM has little variance and the whole bias of Q̂, which no interval
// of fixed values shows: Refit, with the weights of FQE, shows at least how the fit
// varies. WPDISAlive is inconsistent: with π = b it exceeds the
// mean return whenever lengths differ and rewards come last. PHWIS and its kin
// condition on the length, which treatment changes: they estimate
// Σ_ℓ P_b(ℓ) E_π[G|ℓ] (PHWIS), not π's value, and take away the preference for
// policies with short trajectories (Doroudi, Thomas and Brunskill 2017).
//
// Limits on the weights (Options.RatioMax, WeightMax) lower the variance and
// move the normalised estimates towards the clinicians' value; IS and PDIS
// lose the share Diagnostics.LostMass of their weight, and under-estimate when
// rewards are not negative. Limited DR is no longer unbiased by b alone; an
// exact Q̂ still makes it so, and it moves towards DM. Vary prints several limits
// side by side.
//
// # Intervals
//
// Every estimator is a sum of ratios of patient totals (terms.go). A resample
// draws P patients with replacement with all their stays and computes the
// ratios, normalisers included, from the draw. The difference to the clinicians
// is taken within each draw, so what both share cancels. Kinds: percentile;
// BCa, with the acceleration from the influence values; studentised, with the
// linearised (infinitesimal jackknife) cluster standard error of each draw; and
// the envelope of percentile and studentised.
// Intervals are of b and Q̂ as given; Refit draws the whole pipeline, their
// fits included. All intervals are too short when a few patients
// carry the weight, since a bootstrap cannot draw whom it never saw. On 200 logs
// of 1,000 episodes of ICU-Sepsis, with a target policy that follows clinicians
// in 85 of 100 choices, 95 % intervals held the exact value
//
//	              WIS   WPDIS   DR    WDR
//	percentile    184   175     186   185
//	studentised   182   180     184   185
//
// times; the envelope of the last 100 of them in 92, 86, 92 and 91, percentile in
// 92, 83, 92 and 91. WPDIS is at the edge of 90 of 100, and misses to below: late
// steps rest on the few weights that grew most. Intervals of DM show how first
// states vary and not the error of Q̂: they held the value in 2 of 100.
// (go test -run Coverage -logs 50, with -from 0, 1000, 2000 and 3000.) Therefore
// an estimate with an effective sample size (Σw)²/Σw² below MinESS is not
// ranked (Result.Rankable, Rank).
//
// # Behaviour and target policies
//
// b is estimated by FitTabular or FitLogistic, the latter with History, and
// calibrated on held-out choices by Temperature or Platt; Calibrate says how
// well. CrossFit and Folds keep each patient's own choices out of the model it
// is evaluated with. A deterministic policy gets probabilities by Soften or
// Mix: the value is then that of the softened policy.
//
// # What is trusted
//
// The caller is trusted for which policy the probabilities belong to, and for
// nothing else: lengths, ranges and finiteness are checked, a probability
// above 1 or a logged action of behaviour probability 0 is an error. Patient
// ids are compared and never printed. The same input and seed give the same
// bits whatever GOMAXPROCS is, and no goroutine is started.
//
// # References
//
//   - Precup, Sutton, Singh. Eligibility traces for off-policy policy evaluation. ICML 2000. (IS, WIS, PDIS)
//   - Thomas. Safe reinforcement learning. PhD thesis, UMass Amherst, 2015. (CWPDIS)
//   - Jiang, Li. Doubly robust off-policy value evaluation for reinforcement learning. ICML 2016. (DR)
//   - Thomas, Brunskill. Data-efficient off-policy policy evaluation for reinforcement learning. ICML 2016. (WDR)
//   - Doroudi, Thomas, Brunskill. Importance sampling for fair policy selection. UAI 2017. (per-horizon weights)
//   - Le, Voloshin, Yue. Batch policy learning under constraints. ICML 2019. (FQE)
//   - Ionides. Truncated importance sampling. J Comput Graph Stat 17, 2008. (WeightMax)
//   - Efron. Better bootstrap confidence intervals. JASA 82, 1987. (BCa)
//   - Cameron, Gelbach, Miller. Bootstrap-based improvements for inference with clustered errors. REStat 90, 2008.
//   - Chernozhukov et al. Double/debiased machine learning. Econometrics J 21, 2018. (cross-fitting)
//   - Guo et al. On calibration of modern neural networks. ICML 2017. (temperature)
//   - Gottesman et al. Evaluating reinforcement learning algorithms in observational health settings. arXiv 1805.12298, 2018.
package ope
