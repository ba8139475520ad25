// SPDX-License-Identifier: Apache-2.0

package openenv

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
)

// What is declared of the environment is what it does.
func TestTheManifestDeclaresWhatIsServed(t *testing.T) {
	data, err := os.ReadFile("openenv.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Name       string
		Validation struct {
			Reward       struct{ Range []float64 }
			Capabilities struct {
				DeclaredTools     []string       `yaml:"declared_tools"`
				DeclaredTaskCount map[string]int `yaml:"declared_task_count"`
			}
		}
	}
	if err := yaml.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	v := m.Validation
	if m.Name != Name || !slices.Equal(v.Reward.Range, []float64{environment.LeastReward, environment.MostReward}) ||
		!slices.Equal(v.Capabilities.DeclaredTools, []string{llm.ToolSimulation, llm.ToolPrescription}) {
		t.Errorf("%+v", m)
	}
	for _, split := range splitNames {
		if v.Capabilities.DeclaredTaskCount[split] != tasksPerSplit {
			t.Errorf("%d tasks of %s", v.Capabilities.DeclaredTaskCount[split], split)
		}
	}
	var published struct {
		Observation struct {
			Properties struct {
				Reward struct {
					AnyOf []struct{ Minimum, Maximum *float64 } `json:"anyOf"`
				} `json:"reward"`
			} `json:"properties"`
		} `json:"observation"`
	}
	if err := json.Unmarshal(schemas, &published); err != nil {
		t.Fatal(err)
	}
	if of := published.Observation.Properties.Reward.AnyOf; len(of) != 2 || *of[0].Minimum != environment.LeastReward || *of[0].Maximum != environment.MostReward {
		t.Errorf("the schema's range of a reward: %+v", of)
	}
}
