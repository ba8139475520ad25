// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: a key service for tests, as the program that audit.KeyCommand runs.

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"fmt"
	"os"
)

// KeyServiceEnv makes a test binary that calls KeyService first in TestMain a key
// service. Its value is the master key, or what is wrong with the service.
const KeyServiceEnv = "SEPSISAGENT_TEST_KEY_SERVICE"

// KeyService answers one request on the standard streams and ends the process, if
// KeyServiceEnv is set. Keys are wrapped by AES-GCM, bound to their id.
func KeyService() {
	master := os.Getenv(KeyServiceEnv)
	if master == "" {
		return
	}
	if err := answerKey(master); err != nil {
		fmt.Fprintln(os.Stderr, "\x1b[31mfirst line\n"+err.Error())
		os.Exit(3)
	}
	os.Exit(0)
}

func answerKey(master string) error {
	var ask struct {
		Version   int
		Operation string
		KeyID     string `json:"key_id"`
		Data      []byte
	}
	if err := json.NewDecoder(os.Stdin).Decode(&ask); err != nil || ask.Version != 1 {
		return fmt.Errorf("no request of version 1: %v", err)
	}
	switch master {
	case "words":
		fmt.Println("ok")
		return nil
	case "two":
		fmt.Println(`{"data":"AA=="}{"data":"AA=="}`)
		return nil
	case "endless":
		for {
			if _, err := os.Stdout.WriteString(`{"data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`); err != nil {
				return err
			}
		}
	case "plain":
		return json.NewEncoder(os.Stdout).Encode(map[string][]byte{"data": ask.Data})
	case "other":
		return json.NewEncoder(os.Stdout).Encode(map[string][]byte{"data": make([]byte, 32)})
	}
	key := make([]byte, 32)
	copy(key, master)
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	box, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	var out []byte
	switch ask.Operation {
	case "wrap":
		out = box.Seal(nil, nil, ask.Data, []byte(ask.KeyID))
	case "unwrap":
		if out, err = box.Open(nil, nil, ask.Data, []byte(ask.KeyID)); err != nil {
			return fmt.Errorf("access denied: %w", err)
		}
	default:
		return fmt.Errorf("operation %q", ask.Operation)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string][]byte{"data": out})
}
