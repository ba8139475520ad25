// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestAServerThatSpeaksOldTLSIsNotSpokenTo(t *testing.T) {
	for _, c := range []struct {
		name    string
		version uint16
		spoken  bool
	}{
		{"TLS 1.0", tls.VersionTLS10, false},
		{"TLS 1.1", tls.VersionTLS11, false},
		{"TLS 1.2", tls.VersionTLS12, true},
		{"TLS 1.3", tls.VersionTLS13, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := false
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
			server.TLS = &tls.Config{MinVersion: c.version, MaxVersion: c.version}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			client := (&Client{Network: NetworkLoopback}).HTTPClient(5 * time.Second)
			defer client.CloseIdleConnections()
			// All but the certificate, which the system cannot know, is as registered.
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			client.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
			res, err := client.Get(server.URL)
			if err == nil {
				res.Body.Close()
			}
			if asked != c.spoken || (err == nil) != c.spoken {
				t.Errorf("asked %v, %v", asked, err)
			}
		})
	}
}
