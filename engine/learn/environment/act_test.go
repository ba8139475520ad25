// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
)

func act(t testing.TB, e *Episode, a Action) Turn {
	t.Helper()
	turn, err := e.Act(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

func TestTheFirstObservationIsWhatAServedModelReads(t *testing.T) {
	e := begin(t, 1, "")
	first, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := first.Observation
	if o.Kind != KindChart || o.Step != 0 || o.StepsLeft != 18 || o.MessagesLeft != 5 || first.Reward != (Reward{}) {
		t.Errorf("%+v", first)
	}
	for _, want := range []string{"## Patient Information", "## Treatments that may be chosen", "## Vital Signs History", "current treatment"} {
		if !strings.Contains(o.Message, want) {
			t.Errorf("no %q in the observation", want)
		}
	}
	for _, leak := range []string{"syn-", "reward", Simulated, "chance of death"} {
		if strings.Contains(o.Message, leak) {
			t.Errorf("the observation tells %q", leak)
		}
	}
	// A prescription ends the step and not the episode, and the model is told so.
	for _, want := range []string{"You have 5 messages for each choice", "choose again, up to 18 times"} {
		if !strings.Contains(o.Instructions, want) {
			t.Errorf("no %q in the system message %q", want, o.Instructions)
		}
	}
	alone, err := e.env.deps.Prompts.System(5, 1)
	if err != nil || !strings.Contains(alone, "You have 5 messages in all") || !strings.Contains(alone, "It ends the task.") {
		t.Errorf("a consultation is told %q, %v", alone, err)
	}
}

// anOpenPair is some pair that may be prescribed, and one that may not or "".
func anOpenPair(t testing.TB, e *Episode) (open string, blocked string) {
	t.Helper()
	menu, err := e.Menu(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range menu {
		text := fmt.Sprintf(`{"vasopressor":%d,"iv_fluid":%d}`, o.Levels.Vasopressor, o.Levels.Fluid)
		if o.Blocked {
			blocked = text
		} else {
			open = text
		}
	}
	return open, blocked
}

func TestACallIsFoundInEveryFormThatModelsWrite(t *testing.T) {
	look := `{"name": "simulation", "arguments": {"actions": ["[0,1]"]}}`
	for name, a := range map[string]Action{
		"given outright":            {Tool: "simulation", Arguments: `{"actions":["[0,1]"]}`},
		"outright, with a message":  {Message: "I look.", Tool: "simulation", Arguments: `{"actions":["[0,1]"]}`},
		"in Hermes tags":            {Message: "I look.\n<tool_call>\n" + look + "\n</tool_call>"},
		"after thinking":            {Message: "<think>perhaps <tool_call>{}</tool_call></think>\n<tool_call>" + look + "</tool_call>"},
		"as a bare object":          {Message: look},
		"in a fence":                {Message: "```json\n" + look + "\n```"},
		"with tool for name":        {Message: `{"tool":"simulation","arguments":{"actions":["[0,1]"]}}`},
		"with arguments as a text":  {Message: `{"name":"simulation","arguments":"{\"actions\":[\"[0,1]\"]}"}`},
		"as bare arguments":         {Message: `{"actions":["[0,1]"]}`},
		"with actions as an object": {Message: `{"actions":[{"vasopressor":0,"iv_fluid":1}]}`},
	} {
		turn := act(t, begin(t, 1, ""), a)
		if turn.Fault != "" || turn.Observation.Kind != KindSimulation || !strings.Contains(turn.Observation.Message, "### [0,1]") {
			t.Errorf("%s: %q %q", name, turn.Fault, turn.Observation.Message)
		}
		if turn.Reward != (Reward{Simulation: -simulationCost}) {
			t.Errorf("%s: reward %+v", name, turn.Reward)
		}
	}
}

func TestWhatCannotBeDoneIsAnObservationWithAPenalty(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		kind    string
		fault   string
	}{
		"no call":                         {"Let me think.", KindReminder, faultNoCall},
		"nothing":                         {"", KindReminder, faultNoCall},
		"an unknown tool":                 {`{"name":"infusion","arguments":{}}`, KindRefused, llm.CodeUnknownTool},
		"no arguments":                    {`{"name":"prescription"}`, KindRefused, llm.CodeMissingArgument},
		"a level out of range":            {`{"vasopressor":5,"iv_fluid":0}`, KindRefused, llm.CodeOutOfRange},
		"a level that is a text":          {`{"vasopressor":"2","iv_fluid":0}`, KindRefused, llm.CodeWrongType},
		"a level that is a fraction":      {`{"vasopressor":1.5,"iv_fluid":0}`, KindRefused, llm.CodeWrongType},
		"half a prescription":             {`{"vasopressor":1}`, KindRefused, llm.CodeMissingArgument},
		"four options":                    {`{"actions":["[0,0]","[0,1]","[1,0]","[1,1]"]}`, KindRefused, llm.CodeTooManyActions},
		"no options":                      {`{"actions":[]}`, KindRefused, llm.CodeNoActions},
		"broken JSON":                     {`{"name":`, KindRefused, llm.CodeInvalidJSON},
		"something after the object":      {`{"actions":["[0,0]"]} {}`, KindRefused, llm.CodeInvalidJSON},
		"a name that is no text":          {`{"name":7,"arguments":{}}`, KindRefused, codeNotACall},
		"a third field":                   {`{"name":"simulation","arguments":{},"x":1}`, KindRefused, codeNotACall},
		"a tag that is not closed":        {`<tool_call>{"name":"simulation"}`, KindRefused, codeNotACall},
		"a tag with nothing":              {`<tool_call></tool_call>`, KindRefused, llm.CodeInvalidJSON},
		"too long":                        {strings.Repeat("x", maxMessage+1), KindRefused, codeTooLong},
		"no UTF-8":                        {"\xff\xfe", KindRefused, codeTooLong},
		"nine calls":                      {strings.Repeat(`<tool_call>{"actions":["[0,0]"]}</tool_call>`, 9), KindRefused, codeManyCalls},
		"two prescriptions":               {strings.Repeat(`<tool_call>{"vasopressor":0,"iv_fluid":0}</tool_call>`, 2), KindRefused, llm.CodeNotAlone},
		"a published name in another key": {`{"name":"prescription","arguments":{"vasopressor":1,"fluid":1}}`, KindRefused, llm.CodeUnknownArgument},
	} {
		e := begin(t, 1, "")
		turn := act(t, e, Action{Message: c.message})
		if turn.Observation.Kind != c.kind || turn.Fault != c.fault || turn.End != "" {
			t.Errorf("%s: kind %q fault %q end %q: %.200s", name, turn.Observation.Kind, turn.Fault, turn.End, turn.Observation.Message)
		}
		if turn.Reward != (Reward{Invalid: -invalidCost}) || e.Step() != 0 {
			t.Errorf("%s: reward %+v, step %d", name, turn.Reward, e.Step())
		}
		if len(turn.Observation.Message) > 1000 {
			t.Errorf("%s: %d bytes are sent back", name, len(turn.Observation.Message))
		}
	}
}

func TestAPrescriptionShowsTheStateFourHoursLater(t *testing.T) {
	e := begin(t, 1, "")
	open, _ := anOpenPair(t, e)
	turn := act(t, e, Action{Message: open})
	if turn.Fault != "" || turn.Observation.Kind != KindChart || turn.Observation.Step != 1 || turn.Observation.MessagesLeft != 5 ||
		!strings.Contains(turn.Observation.Message, "Four hours later:") || !strings.Contains(turn.Observation.Message, "## Vital Signs History") {
		t.Errorf("%+v", turn)
	}
}

func TestABlockedPrescriptionNamesTheRule(t *testing.T) {
	for seed := range uint64(20) {
		e := begin(t, seed, "")
		_, blocked := anOpenPair(t, e)
		if blocked == "" {
			continue
		}
		turn := act(t, e, Action{Message: blocked})
		if turn.Observation.Kind != KindRefused || turn.Fault != llm.CodeNotAvailable || !strings.Contains(turn.Observation.Message, "rule ") ||
			turn.Reward != (Reward{Rule: -blockCost}) || e.Step() != 0 {
			t.Errorf("%+v", turn)
		}
		return
	}
	t.Error("no seed has a blocked pair")
}

func TestTimePassesWhereNobodyPrescribes(t *testing.T) {
	e := begin(t, 1, "")
	look := Action{Message: `{"actions":["[0,0]"]}`}
	for i := range 4 {
		if turn := act(t, e, look); turn.Observation.MessagesLeft != 4-i || turn.Observation.Step != 0 {
			t.Fatalf("message %d: %+v", i+1, turn.Observation)
		}
	}
	turn := act(t, e, look)
	if turn.Observation.Step != 1 || turn.Reward.Invalid != -silenceCost || !strings.Contains(turn.Observation.Message, "current treatment is kept") {
		t.Errorf("%+v", turn)
	}
}

func TestAnAgentThatDoesNothingUsefulIsGivenUp(t *testing.T) {
	e := begin(t, 1, "")
	for i := range 10 {
		turn := act(t, e, Action{Message: "hm"})
		switch {
		case i < 9 && turn.End != "":
			t.Fatalf("message %d: %+v", i+1, turn)
		case i == 9 && (turn.End != EndAbandoned || turn.Observation.Kind != KindEnd || turn.Reward.Terminal != 0):
			t.Fatalf("message %d: %+v", i+1, turn)
		}
	}
	if turn := act(t, e, Action{Message: "hm"}); turn.End != EndAbandoned || turn.Reward != (Reward{}) || turn.Observation.Kind != KindEnd {
		t.Errorf("after the end: %+v", turn)
	}
}

func TestWhateverIsSaidEpisodesEndAndRewardsStayInRange(t *testing.T) {
	if testing.Short() {
		t.Skip("plays a hundred episodes")
	}
	unit(t)
	said := rapid.OneOf(
		rapid.SampledFrom([]string{"", "hm", `{"actions":["[0,0]","[4,4]"]}`, "<tool_call>", `{"vasopressor":9}`, "\xff", "```json\n{}\n```"}),
		rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf(`{"vasopressor":%d,"iv_fluid":%d}`, rapid.IntRange(0, 4).Draw(t, "v"), rapid.IntRange(0, 4).Draw(t, "f"))
		}),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		v, err := shipped()
		if err != nil {
			t.Fatal(err)
		}
		e, err := v.Reset(context.Background(), rapid.Uint64Range(0, 20).Draw(t, "seed"), "")
		if err != nil {
			t.Fatal(err)
		}
		most := DefaultConfig().Steps * DefaultConfig().Messages
		for i := 0; ; i++ {
			a := Action{Message: "hm"}
			if i < 20 {
				a = Action{Message: said.Draw(t, "message"), Tool: rapid.SampledFrom([]string{"", "", "simulation", "x"}).Draw(t, "tool"), Arguments: rapid.SampledFrom([]string{"", "{}", "x"}).Draw(t, "arguments")}
			}
			turn, err := e.Act(context.Background(), a)
			if err != nil {
				t.Fatal(err)
			}
			inRange(t, turn.Reward)
			if turn.End != "" {
				return
			}
			if i > most {
				t.Fatal("the episode does not end")
			}
		}
	})
}

func TestEncodedObservationsHoldNoNumberThatIsNotOne(t *testing.T) {
	e := begin(t, 2, "")
	open, _ := anOpenPair(t, e)
	turn := act(t, e, Action{Message: open})
	data, err := json.Marshal(turn.Observation)
	if err != nil || strings.Contains(turn.Observation.Message, "NaN") || math.IsNaN(turn.Reward.Total()) {
		t.Errorf("%v %s", err, data)
	}
}

func FuzzAction(f *testing.F) {
	for _, s := range []string{
		`{"name":"simulation","arguments":{"actions":["[0,1]"]}}`, "<tool_call>{}</tool_call>", "</think>{", "```json\n{\"vasopressor\":1,\"iv_fluid\":2}\n```",
		`{"name":"simulation","arguments":"\ud800"}`, strings.Repeat("<tool_call>", 20), `{"actions":null}`, `{"vasopressor":-0,"iv_fluid":1e0}`,
	} {
		f.Add(s, "", "")
	}
	f.Add("", "prescription", `{"vasopressor":1,"iv_fluid":1}`)
	f.Fuzz(func(t *testing.T, message, tool, arguments string) {
		calls, cerr := Action{Message: message, Tool: tool, Arguments: arguments}.calls()
		if cerr != nil && (cerr.Code == "" || cerr.Message == "" || len(calls) > 0) {
			t.Errorf("a fault without words, or with calls: %+v %v", cerr, calls)
		}
		if len(calls) > maxCalls {
			t.Errorf("%d calls", len(calls))
		}
		for _, c := range calls {
			levels, cerr := llm.ParseCall(c.Name, c.Arguments)
			if cerr == nil && (len(levels) == 0 || len(levels) > llm.MaxActions) {
				t.Errorf("%d pairs", len(levels))
			}
			for _, l := range levels {
				if !valid(l) {
					t.Errorf("%+v", l)
				}
			}
		}
	})
}
