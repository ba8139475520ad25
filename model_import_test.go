// SPDX-License-Identifier: Apache-2.0

package main

// This file: `model import` as a command. What it reads and refuses is tested
// in engine/world.

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// writePublished writes a folder of the published names, with every weight
// 0.01, and returns it.
func writePublished(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	encoder := []any{"static_embed", 32, 3, "act_embed", 32, 10}
	for file, layers := range map[string][]any{
		"state_model_log": append(encoder[:6:6], "vent_head.0", 64, 128, "vent_head.2", 1, 64, "trans_pre.0", 128, 129, "mu_head", 39, 128, "log_sigma_head", 39, 128),
		"outcome":         append(encoder[:6:6], "outcome_head.0", 64, 128, "outcome_head.3", 1, 64),
	} {
		var tensors []nn.Tensor
		add := func(name string, shape ...int) {
			n := 1
			for _, d := range shape {
				n *= d
			}
			x := nn.Tensor{Name: name, Shape: shape, Data: make([]float32, n)}
			for i := range x.Data {
				x.Data[i] = 0.01
			}
			tensors = append(tensors, x)
		}
		for i := 0; i < len(layers); i += 3 {
			add(layers[i].(string)+".weight", layers[i+1].(int), layers[i+2].(int))
			add(layers[i].(string)+".bias", layers[i+1].(int))
		}
		for l, in := range map[string]int{"l0": 141, "l1": 128} {
			add("gru.weight_ih_"+l, 384, in)
			add("gru.weight_hh_"+l, 384, 128)
			add("gru.bias_ih_"+l, 384)
			add("gru.bias_hh_"+l, 384)
		}
		b, err := nn.EncodeSafetensors(tensors, nil)
		if err != nil {
			t.Fatal(err)
		}
		write(file+".safetensors", b)
	}
	columns := strings.Fields("heart_rate sysbp diabp meanbp resp_rate spo2 temp_c fio2 gcs_eye gcs_verbal gcs_motor albumin alt ast base_excess " +
		"bicarbonate bilirubin_total bun calcium_free calcium_total chloride creatinine glucose hemoglobin hematocrit inr lactate magnesium paco2 pao2 ph " +
		"platelet potassium pt ptt sodium total_co2 wbc output_4hourly")
	quoted := func(suffix string, names []string) string {
		return `"` + strings.Join(names, suffix+`","`) + suffix + `"`
	}
	ones := strings.TrimSuffix(strings.Repeat("1,", len(columns)), ",")
	write("scaler_params_log.json", []byte(`{"dyn_cols":[`+quoted("", columns)+`],"dyn_mean":[`+ones+`],"dyn_std":[`+ones+`],"urine_log_transform":true,"urine_idx":38}`))
	write("episode_feature_config.json", []byte(`{"dynamic_cols":[`+quoted("", columns)+`],"mask_cols":[`+quoted("_mask", columns[:38])+`],`+
		`"static_cols":["age","gender","charlson_comorbidity_index"],"act_onehot_cols":["act_0","act_1","act_2","act_3","act_4","act_5","act_6","act_7","act_8","act_9"],`+
		`"static_scaler_mean":[60,5],"static_scaler_std":[15,3]}`))
	return dir
}

func TestAnImportedModelIsNamedByItsKind(t *testing.T) {
	from, out := writePublished(t), filepath.Join(t.TempDir(), "model")
	sepsisagent(t, "model", "import", "--from", from, "--out", out).want(0)
	if r := sepsisagent(t, "model", "info", "--model", out).want(0); !strings.Contains(r.out, "kind    reference\n") || !strings.Contains(r.out, "state_model_log.safetensors (SHA-256 ") {
		t.Errorf("info prints\n%s", r.out)
	}
	if r := sepsisagent(t, "model", "card", "--model", out).want(0); !strings.Contains(r.out, "imported") {
		t.Errorf("card prints\n%s", r.out)
	}
	if r := sepsisagent(t, "model", "import", "--from", from, "--out", out).want(2); !strings.Contains(r.errs, "already holds a model") {
		t.Errorf("a second import says\n%s", r.errs)
	}
}

func TestWhatCannotBeImportedLeavesNoFolder(t *testing.T) {
	from, out := writePublished(t), filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(filepath.Join(from, "state_model_log.pt"), []byte("cos\nsystem\n(S'id'\ntR."), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := sepsisagent(t, "model", "import", "--from", from, "--out", out).want(1); !strings.Contains(r.errs, "cannot be imported") || !strings.Contains(r.errs, "state_model_log.pt") {
		t.Errorf("the import says\n%s", r.errs)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
	sepsisagent(t, "model", "import", "--from", from).want(2)
	sepsisagent(t, "train", "world", "--kind", "another", "--cohort", "c", "--out", out).want(2)
}
