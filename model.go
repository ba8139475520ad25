// SPDX-License-Identifier: Apache-2.0

package main

// This file: `model info` and `model card`.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func modelInfo() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "info", Short: "Say which model this is, after checking its weights", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := openModel(dir)
			if err != nil {
				return err
			}
			info := m.Info()
			a, err := openActor(m, dir)
			if err != nil {
				return err
			}
			actor := ""
			if a != nil {
				actor = a.Hash()
			}
			fitted, _, err := openBaselines(m, dir)
			if err != nil {
				return err
			}
			var baselines []string
			for _, f := range fitted {
				baselines = append(baselines, string(f.Method))
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), struct {
					world.Info
					Actor     string   `json:"actor,omitempty"`
					Baselines []string `json:"baselines,omitempty"`
				}{info, actor, baselines})
			}
			out := fmt.Sprintf("kind    %s\nversion %s\nmembers %d\nhash    %s\ntrained %s\nactor   %s\n", info.Kind, info.Version, info.Members, info.Hash, info.Trained, cmp.Or(actor, "none: the agent proposes guideline moves alone"))
			if len(baselines) > 0 {
				out += "beside  " + strings.Join(baselines, ", ") + ", for evaluation alone\n"
			}
			_, err = io.WriteString(cmd.OutOrStdout(), out)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "model", "", "folder of the model (default: the embedded one)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func modelCard() *cobra.Command {
	var dir, site string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "card", Short: "Print the model card", Args: noArgs,
		Long: "Print the model card: the 31 source attributes of 45 CFR 170.315(b)(11)(iv)(B), what the model was trained on,\n" +
			"how it does by age, sex, source and hospital, and where it fails, all from the model file.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := openModel(dir)
			if err != nil {
				return err
			}
			if asJSON {
				return printCardJSON(cmd.OutOrStdout(), m, site)
			}
			card, err := cardOf(m, site)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(card)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "model", "", "folder of the model (default: the embedded one)")
	cmd.Flags().StringVar(&site, "site", "", "YAML file with the attributes that only the site knows, text by number")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the attributes as one JSON object")
	return cmd
}

// siteAttributes reads what a site says on the card; nothing where no file is
// named.
func siteAttributes(name string) (world.SiteAttributes, error) {
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var site world.SiteAttributes
	if err := configs.Decode(data, &site); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := site.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return site, nil
}

// errNoAttributes: only a native model has a card with source attributes.
var errNoAttributes = errors.New("this kind of model has no source attributes")

// cardOf is the card of a model with what the site adds to it.
func cardOf(m world.Stored, file string) ([]byte, error) {
	site, err := siteAttributes(file)
	if err != nil {
		return nil, err
	}
	if native, ok := m.(*world.Model); ok {
		return native.CardOf(site), nil
	}
	if site != nil {
		return nil, errNoAttributes
	}
	return m.Card(), nil
}

// printCardJSON prints the attributes and what they were measured with.
func printCardJSON(w io.Writer, m world.Stored, file string) error {
	native, ok := m.(*world.Model)
	if !ok {
		return errNoAttributes
	}
	site, err := siteAttributes(file)
	if err != nil {
		return err
	}
	r := native.Record()
	return printJSON(w, map[string]any{"model": native.Info(), "attributes": native.Attributes(site), "failures": r.Failures(),
		"test": r.Test, "test_hospitals": r.TestHospitals, "counterfactual": r.Effects})
}
