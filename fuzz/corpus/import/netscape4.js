// Netscape User Preferences
user_pref("mail.identity.useremail", "ann@small.example");
user_pref("mail.pop_name", "ann");
user_pref("network.hosts.pop_server", "mail.small.example");
user_pref("network.hosts.smtp_server", "mail.small.example");
user_pref("mail.pop_password", "c2VjcmV0");
