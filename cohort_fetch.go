// SPDX-License-Identifier: Apache-2.0

package main

// This file: `cohort fetch`, a bulk export from a FHIR server into a folder
// that `cohort build` reads, and how the call is authorized.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/fhir/bulk"
	"github.com/sepsisagent/sepsisagent/fhir/smart"
)

// tokenEnv holds an access token for `cohort fetch`.
const tokenEnv = "SEPSISAGENT_FHIR_TOKEN"

// fetchReport is what `cohort fetch` prints.
type fetchReport struct {
	*bulk.Local
	Resources int     `json:"resources"`
	Bytes     int64   `json:"bytes"` // as stored
	Seconds   float64 `json:"seconds"`
}

// fetchAccess says how the calls are authorized.
type fetchAccess struct {
	tokenFile string
	clientID  string
	keyFile   string
	tokenURL  string
	scopes    []string
}

func cohortFetch() *cobra.Command {
	var cfg bulk.Config
	var access fetchAccess
	var system, asJSON bool
	var since string
	cmd := &cobra.Command{
		Use: "fetch", Short: "Fetch a bulk export from a FHIR server", Args: noArgs,
		Long: "Fetch a bulk export from a FHIR server (Bulk Data Access) into a folder that `cohort build` reads.\n" +
			"Only resource types that are read are asked for. A stopped fetch goes on where it stopped when the same\n" +
			"command is run again; Ctrl-C while the server still prepares the export cancels it there.\n\n" +
			"The server may be open, take a token (--token-file, or " + tokenEnv + "), or know this program as a\n" +
			"SMART Backend Services client (--client-id and --key-file). The token goes to the server's own origin\n" +
			"and to each --token-origin, never after a redirect and never to a file store that signs its links.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "fhir", "out"); err != nil {
				return err
			}
			if system {
				cfg.Level = bulk.LevelSystem
			}
			if since != "" {
				var err error
				if cfg.Since, err = time.Parse(time.RFC3339, since); err != nil {
					return misuse("--since: %q is no instant (hint: 2026-01-31T00:00:00Z)", since)
				}
			}
			if len(cfg.Types) == 0 {
				cfg.Types, cfg.Optional = fhir.ResourceTypes(), sharedTypes
			}
			report, err := fetchCohort(cmd.Context(), cfg, access, cmd.ErrOrStderr())
			switch {
			case errors.Is(err, bulk.ErrConfig) || errors.Is(err, bulk.ErrOccupied):
				return misuse("%v", err)
			case errors.Is(err, context.Canceled):
				return errors.New("stopped (hint: the same command goes on, or starts anew where the server was still preparing)")
			case err != nil:
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), report)
			}
			return report.print(cmd.OutOrStdout(), cfg.Out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Server, "fhir", "", "FHIR base of the server (required)")
	f.StringVar(&cfg.Out, "out", "", "folder to write, empty or of the same fetch that was stopped (required)")
	f.StringVar(&cfg.Group, "group", "", "export the members of this Group, by its id; otherwise every patient")
	f.BoolVar(&system, "system", false, "export everything the server has, patients or not")
	f.StringArrayVar(&cfg.Types, "type", nil, "resource type to ask for (repeatable; default: those that are read)")
	f.StringVar(&since, "since", "", "leave out what was last changed before this instant; such an export holds no whole charts")
	f.StringArrayVar(&cfg.TypeFilters, "type-filter", nil, "search that narrows a type, e.g. Observation?category=laboratory (repeatable)")
	f.StringVar(&access.tokenFile, "token-file", "", "file that holds an access token, read before every request")
	f.StringVar(&access.clientID, "client-id", "", "our id as a SMART Backend Services client")
	f.StringVar(&access.keyFile, "key-file", "", "private key of that client, PEM or JWK")
	f.StringVar(&access.tokenURL, "token-url", "", "token endpoint, where it is not to be discovered")
	f.StringArrayVar(&access.scopes, "scope", nil, "scope to ask for (repeatable; default: read and search of each type)")
	f.StringArrayVar(&cfg.TokenOrigins, "token-origin", nil, "further origin that gets the token, e.g. https://files.hospital.example (repeatable)")
	f.IntVar(&cfg.Parallel, "parallel", bulk.DefaultParallel, "files to download at once")
	f.DurationVar(&cfg.Timeout, "timeout", bulk.DefaultTimeout, "bound of the whole fetch")
	f.DurationVar(&cfg.MaxPoll, "max-poll", 0, "ask at least this often whether the export is ready, even where the server says less often")
	f.BoolVar(&cfg.AnyCount, "any-count", false, "keep files whose number of resources differs from the manifest, and report them")
	f.BoolVar(&cfg.Delete, "delete", false, "let the server delete the export once all is here")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// fetchCohort fetches and sums up.
func fetchCohort(ctx context.Context, cfg bulk.Config, access fetchAccess, stderr io.Writer) (*fetchReport, error) {
	started := time.Now()
	tokens, end, err := access.source(cfg.Server, cfg.Types)
	if err != nil {
		return nil, err
	}
	defer end()
	cfg.Tokens = tokens
	shown := &fetchProgress{w: stderr}
	cfg.Progress = shown.event
	local, err := bulk.Fetch(ctx, cfg)
	shown.finish()
	if err != nil {
		return nil, err
	}
	r := &fetchReport{Local: local, Seconds: time.Since(started).Seconds()}
	for _, file := range local.Files {
		r.Resources += file.Resources
		r.Bytes += file.Bytes
	}
	return r, nil
}

// sharedTypes belong to no patient but are referred to by what does. Not every
// server exports them with patients.
var sharedTypes = []string{"Location", "Medication"}

// necessaryTypes are those without which an export is of no use.
var necessaryTypes = []string{"Patient", "Encounter", "Observation", "MedicationAdministration"}

// source gives the tokens of a fetch, nil for an open server; end lets go of
// what that took.
func (a fetchAccess) source(server string, types []string) (tokens bulk.TokenSource, end func(), err error) {
	end = func() {}
	given := os.Getenv(tokenEnv)
	ways := 0
	for _, used := range []bool{a.tokenFile != "", given != "", a.clientID != "" || a.keyFile != ""} {
		if used {
			ways++
		}
	}
	switch {
	case ways > 1:
		return nil, end, misuse("more than one of --token-file, %s and --client-id is given (hint: keep one)", tokenEnv)
	case (a.clientID == "") != (a.keyFile == ""):
		return nil, end, misuse("--client-id and --key-file go together")
	case a.clientID == "" && (a.tokenURL != "" || len(a.scopes) > 0):
		return nil, end, misuse("--token-url and --scope are for --client-id")
	case a.tokenFile != "":
		return tokenFile(a.tokenFile), end, nil
	case given != "":
		return fixedToken(strings.TrimSpace(given)), end, nil
	case a.clientID == "":
		return nil, end, nil
	}
	secret, err := configs.ReadSecret(a.keyFile)
	if err != nil {
		return nil, end, fmt.Errorf("--key-file: %w", err)
	}
	key, err := smart.ParseKey(secret)
	if err != nil {
		return nil, end, fmt.Errorf("--key-file: %w", err)
	}
	backend := smart.Config{Base: server, ClientID: a.clientID, TokenURL: a.tokenURL, Scopes: a.scopes,
		HTTP: &http.Client{Transport: http.DefaultTransport}, Timeout: 30 * time.Second}
	for _, t := range types {
		if slices.Contains(necessaryTypes, t) {
			backend.Need = append(backend.Need, t)
		} else {
			backend.Want = append(backend.Want, t)
		}
	}
	s, err := smart.New(backend, smart.OneKey(key))
	if err != nil {
		return nil, end, misuse("%v", err)
	}
	return s, s.Close, nil
}

// tokenFile reads the token anew each time: whoever writes it may renew it.
type tokenFile string

func (f tokenFile) Token(context.Context) (string, error) {
	data, err := configs.ReadSecret(string(f))
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("--token-file: %s does not hold one token", f)
	}
	return text, nil
}

// fixedToken is a token from the environment.
type fixedToken string

func (t fixedToken) Token(context.Context) (string, error) { return string(t), nil }

// print writes what came, by type.
func (r *fetchReport) print(w io.Writer, out string) error {
	type sum struct {
		files, resources int
		bytes            int64
	}
	byType := map[string]sum{}
	for _, f := range r.Files {
		s := byType[f.Type]
		byType[f.Type] = sum{s.files + 1, s.resources + f.Resources, s.bytes + f.Bytes}
	}
	fmt.Fprintf(w, "%s: %d resources in %d files, %.1f MB, as of %s, in %.1f s\n\n",
		out, r.Resources, len(r.Files), float64(r.Bytes)/1e6, r.TransactionTime.Format(time.RFC3339), r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TYPE\tFILES\tRESOURCES\tMB")
	for _, kind := range slices.Sorted(maps.Keys(byType)) {
		s := byType[kind]
		fmt.Fprintf(t, "%s\t%d\t%d\t%.1f\n", cmp.Or(kind, "any"), s.files, s.resources, float64(s.bytes)/1e6)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if len(r.Absent) > 0 {
		fmt.Fprintf(w, "asked for, but nothing came: %s\n", strings.Join(r.Absent, ", "))
	}
	if len(r.Refused) > 0 {
		fmt.Fprintf(w, "%s belong to no patient; where records refer to them, this brings them:\n  sepsisagent cohort fetch --fhir %s --system --type %s --out %s\n",
			strings.Join(r.Refused, ", "), r.Server, strings.Join(r.Refused, " --type "), filepath.Join(out, "shared"))
	}
	for _, f := range r.Files {
		if f.Promised != nil {
			fmt.Fprintf(w, "%s: %d resources came, %d were promised\n", f.Name, f.Resources, *f.Promised)
		}
		if f.Broken > 0 {
			fmt.Fprintf(w, "%s: %d lines do not look like a resource\n", f.Name, f.Broken)
		}
	}
	for _, f := range r.Errors {
		fmt.Fprintf(w, "the server left something out: %d remarks in %s\n", f.Resources, filepath.Join(out, f.Name))
	}
	for _, f := range r.Deleted {
		fmt.Fprintf(w, "the server lists deleted resources, which are not taken out of earlier exports: %s\n", filepath.Join(out, f.Name))
	}
	_, err := fmt.Fprintf(w, "next: sepsisagent cohort build --fhir %s --out cohort.parquet\n", out)
	return err
}
